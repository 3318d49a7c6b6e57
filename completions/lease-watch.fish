complete -c lease-watch -l source -d 'Where the leases are: dnsmasq\'s lease file' -r
complete -c lease-watch -l key -d 'What makes two DHCPv6 leases one client\'s' -r -f -a "duid-iaid\t'The DUID and the number of the identity association'
duid\t'The DUID alone, for clients that take a new number at each start'"
complete -c lease-watch -l resync -d 'With --follow, list everything again this often; "none" for never' -r
complete -c lease-watch -l timeout -d 'How long to wait for the lease file to be whole' -r
complete -c lease-watch -l follow -d 'Go on with changes after the listing'
complete -c lease-watch -l table -d 'Print a table for people instead of records'
complete -c lease-watch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-watch -s V -l version -d 'Print version'
