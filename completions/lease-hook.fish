complete -c lease-hook -l spool -d 'The spool, a directory; made if only it is missing' -r -F
complete -c lease-hook -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-hook -s V -l version -d 'Print version'
