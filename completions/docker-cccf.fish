complete -c docker-cccf -l owner -d 'Consider only this owner\'s containers; without it, everybody\'s' -r
complete -c docker-cccf -l label -d 'Consider only containers with this label; with all of them, if it is given more than once' -r
complete -c docker-cccf -l hosts -d 'Ask the engines of all of these host records, in a file or in an etcd' -r
complete -c docker-cccf -l host -d 'Ask the engine at URL; the host\'s id is "local"' -r
complete -c docker-cccf -l engine -d 'The engines\' kind' -r -f -a "docker\t'Each host has containers of its own'
swarm\t'The hosts are managers of swarms: containers are services of theirs'"
complete -c docker-cccf -l resync -d 'With --follow, list everything again this often; "none" for never' -r
complete -c docker-cccf -l all -d 'List also containers that somebody else made and that do not run'
complete -c docker-cccf -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c docker-cccf -l follow -d 'Go on with changes after the listing'
complete -c docker-cccf -l table -d 'Print a table for people instead of records'
complete -c docker-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c docker-cccf -s V -l version -d 'Print version'
