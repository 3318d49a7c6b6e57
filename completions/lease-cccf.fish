complete -c lease-cccf -l template -d 'File with the container documents that each client gets: cccf(5)' -r -F
complete -c lease-cccf -l owner -d 'Owner of the containers, where the template names none' -r
complete -c lease-cccf -l table -d 'Print a table for people instead of records'
complete -c lease-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-cccf -s V -l version -d 'Print version'
