complete -c lease-watch -l source -d 'Where leases are; may be given several times' -r
complete -c lease-watch -l key -d 'What makes two DHCPv6 leases one client\'s' -r -f -a "duid-iaid\t'The DUID and the number of the identity association'
duid\t'The DUID alone, for clients that take a new number at each start'"
complete -c lease-watch -l resync -d 'With --follow, list everything again this often; "none" for never' -r
complete -c lease-watch -l grace -d 'Hold an end of lease back for so long, for its client to come back' -r
complete -c lease-watch -l state -d 'Remember here what was told, and tell what became of it since then' -r -F
complete -c lease-watch -l poll -d 'How often to ask a server that does not tell of changes by itself (kea-socket)' -r
complete -c lease-watch -l timeout -d 'How long to wait for a source to be whole' -r
complete -c lease-watch -l follow -d 'Go on with changes after the listing'
complete -c lease-watch -l table -d 'Print a table for people instead of records'
complete -c lease-watch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-watch -s V -l version -d 'Print version'
