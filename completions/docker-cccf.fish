complete -c docker-cccf -l owner -d 'List only this owner\'s containers' -r
complete -c docker-cccf -l hosts -d 'Ask the engines of the hosts in FILE' -r -F
complete -c docker-cccf -l host -d 'Ask the engine at URL; the host\'s id is "local"' -r
complete -c docker-cccf -l resync -d 'List everything anew this often' -r
complete -c docker-cccf -l all -d 'List also containers that somebody else made and that do not run'
complete -c docker-cccf -l follow -d 'Go on with what changes'
complete -c docker-cccf -l table -d 'Print a table for people instead of records'
complete -c docker-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c docker-cccf -s V -l version -d 'Print version'
