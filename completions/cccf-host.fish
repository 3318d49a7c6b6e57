complete -c cccf-host -l hosts -d 'Host records, in a file or in an etcd [default: this machine\'s own engine, called "local"]' -r
complete -c cccf-host -l strategy -d 'What decides between hosts that fit: least-busy, spread, binpack, random, round-robin or fixed' -r
complete -c cccf-host -l seed -d 'Where the random numbers of --strategy random begin' -r
complete -c cccf-host -l max-moves -d 'Move at most N of them' -r
complete -c cccf-host -l rebalance -d 'Move containers that could stay to where the strategy would put them'
complete -c cccf-host -l explain -d 'Tell why each container goes where it does, instead of sending it there'
complete -c cccf-host -l table -d 'Print a table for people instead of records'
complete -c cccf-host -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-host -s V -l version -d 'Print version'
