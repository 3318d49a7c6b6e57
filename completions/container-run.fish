complete -c container-run -l owner -d 'Owner of the containers that name none' -r
complete -c container-run -l action -d 'What to do with every container, whatever its record asks for' -r -f -a "add\t'Make it and start it, or start it'
remove\t'Take it away'
replace\t'Make it anew'
keep\t'Make sure that it runs, as it is'
start\t'Start it, or let it go on'
stop\t'Ask it to end, and end it'
restart\t'Stop it and start it'
kill\t'End it at once'
pause\t'Freeze it'
unpause\t'Let it go on'"
complete -c container-run -l wait -d 'When a container that was added, started, restarted or replaced is done [default: started; healthy for one that replaces another]' -r -f -a "started\t'it runs behind its start'
healthy\t'its health check says so; it runs, if it has none'"
complete -c container-run -l timeout -d 'Give up waiting for a container to be healthy after this time' -r
complete -c container-run -l max-unavailable -d 'Have at most N, or N percent, of a group\'s containers away at the same time' -r
complete -c container-run -l docker-config -d 'Directory of Docker\'s config.json, which has the logins for registries [default: ~/.docker]' -r -F
complete -c container-run -l engine -d 'The engines\' kind' -r -f -a "docker\t'Each host has containers of its own'
swarm\t'The hosts are managers of swarms: containers are services of theirs'"
complete -c container-run -l publish -d 'With --engine swarm, publish ports on the node of the container, or on every node' -r -f -a "host\t'On the node where the container is'
ingress\t'On every node, by the swarm\'s balancer of load'"
complete -c container-run -l concurrency -d 'Work on up to N containers at the same time, on all hosts together' -r
complete -c container-run -l per-host -d 'Of these, on up to N on each host' -r
complete -c container-run -l hosts -d 'With --reap, host records, in a file or in an etcd: on all of them; without it, on this machine' -r
complete -c container-run -l lease-ends -d 'With --reap, read leases and keep their ends in FILE: a client\'s containers go with the last' -r -F
complete -c container-run -l pause-on-failure -d 'Take away no more of a group\'s containers when one has failed'
complete -c container-run -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c container-run -l dry-run -d 'Change nothing, and write into each record the steps that would be taken'
complete -c container-run -l reap -d 'Read no changes: remove this owner\'s containers that are past their time, and write a change for each'
complete -c container-run -l table -d 'Print a table for people instead of records'
complete -c container-run -s h -l help -d 'Print help (see more with \'--help\')'
complete -c container-run -s V -l version -d 'Print version'
