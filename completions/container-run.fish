complete -c container-run -l owner -d 'Owner of the containers that name none' -r
complete -c container-run -l concurrency -d 'Work on up to N containers at the same time, on all hosts together' -r
complete -c container-run -l per-host -d 'Of these, on up to N on each host' -r
complete -c container-run -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c container-run -l dry-run -d 'Change nothing, and write into each record the steps that would be taken'
complete -c container-run -l table -d 'Print a table for people instead of records'
complete -c container-run -s h -l help -d 'Print help (see more with \'--help\')'
complete -c container-run -s V -l version -d 'Print version'
