complete -c cccf-scale -l max -d 'The most containers that one document may stand for' -r
complete -c cccf-scale -l down -d 'Leave out the replicas instead: one document for each base'
complete -c cccf-scale -l same-ports -d 'Let replicas publish the same ports, for each gets a host of its own'
complete -c cccf-scale -l table -d 'Print a table for people instead of records'
complete -c cccf-scale -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-scale -s V -l version -d 'Print version'
