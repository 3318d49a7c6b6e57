complete -c container-watch -l owner -d 'Consider only this owner\'s containers; without it, everybody\'s' -r
complete -c container-watch -l label -d 'Consider only containers with this label; with all of them, if it is given more than once' -r
complete -c container-watch -l hosts -d 'Ask the engines of all of these host records, in a file or in an etcd' -r
complete -c container-watch -l host -d 'Ask the engine at URL; the host\'s id is "local"' -r
complete -c container-watch -l stats -d 'Tell also what containers use; with --follow, so often' -r
complete -c container-watch -l metrics -d 'Write metrics to FILE, for the textfile collector of Prometheus\'s node_exporter' -r -F
complete -c container-watch -l loop -d 'Call a container looping that ends by itself N times within TIME; "none" for never' -r
complete -c container-watch -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c container-watch -l follow -d 'Go on with what happens'
complete -c container-watch -l local -d 'Write containers that are to be plugged in here instead, for unionize'
complete -c container-watch -l table -d 'Print a table for people instead of records'
complete -c container-watch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c container-watch -s V -l version -d 'Print version'
