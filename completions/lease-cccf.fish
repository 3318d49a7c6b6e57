complete -c lease-cccf -l template -d 'File with one container document, or several, or an array of them' -r -F
complete -c lease-cccf -l owner -d 'The pipe that the containers belong to, where the template names none' -r
complete -c lease-cccf -l table -d 'Print a table for people instead of records'
complete -c lease-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-cccf -s V -l version -d 'Print version'
