complete -c cccf-docker-instructions -l command -d 'What docker is to do with containers that no change is around' -r -f -a "run\t'make it and start it; take away one that is absent'
create\t'make it'
start\t'start it'
stop\t'ask it to end'
kill\t'kill it'
rm\t'remove it when it has ended'"
complete -c cccf-docker-instructions -l format -d 'Write lines for a shell, or one compose file' -r -f -a "shell\t'a line for each container or change'
compose\t'one file with the containers that are wanted'"
complete -c cccf-docker-instructions -l owner -d 'Make the containers that name no owner this one\'s, known to the suite as its own' -r
complete -c cccf-docker-instructions -l without -d 'Leave this field out of every document; may be given several times' -r
complete -c cccf-docker-instructions -l print0 -d 'End each line with a NUL instead of a newline, for xargs -0'
complete -c cccf-docker-instructions -l no-host -d 'Name no engine: leave the hosts out'
complete -c cccf-docker-instructions -l foreground -d 'Have docker stay with each container that it starts, without -d'
complete -c cccf-docker-instructions -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-docker-instructions -s V -l version -d 'Print version'
