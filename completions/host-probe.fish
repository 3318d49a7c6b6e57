complete -c host-probe -l hosts -d 'Host records, in a file or in an etcd [default: the records of standard input]' -r
complete -c host-probe -l timeout -d 'Give up on a host after this time' -r
complete -c host-probe -l concurrency -d 'Ask up to N hosts at the same time' -r
complete -c host-probe -l interval -d 'With --follow, ask again this often' -r
complete -c host-probe -l grace -d 'With --follow, call a host down that has answered before only when it has not for so long [default: --timeout and twice --interval]' -r
complete -c host-probe -l write -d 'Write the whole list to FILE as well, anew whenever something has changed' -r -F
complete -c host-probe -l follow -d 'Go on, and write what changes'
complete -c host-probe -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c host-probe -l table -d 'Print a table for people instead of records'
complete -c host-probe -s h -l help -d 'Print help (see more with \'--help\')'
complete -c host-probe -s V -l version -d 'Print version'
