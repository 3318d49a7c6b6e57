complete -c lease-bind -l ledger -d 'The ledger, begun if it is not there' -r -F
complete -c lease-bind -l reserve -d 'Where addresses are reserved for containers' -r
complete -c lease-bind -l table -d 'Print a table for people instead of records'
complete -c lease-bind -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-bind -s V -l version -d 'Print version'
