complete -c host-add -l hosts -d 'File with host records, which is made if it is not there, or an etcd that several machines share' -r
complete -c host-add -l id -d 'What the host is called [default: the host or context that URL names, or "local"]' -r
complete -c host-add -l label -d 'A label of the host; may be given more than once' -r
complete -c host-add -l tls -d 'Directory with ca.pem, cert.pem and key.pem for an engine at tcp://' -r -F
complete -c host-add -l timeout -d 'Give up on the engine after this time' -r
complete -c host-add -l replace -d 'Change the host of that name if it is there'
complete -c host-add -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c host-add -l table -d 'Print a table for people instead of records'
complete -c host-add -s h -l help -d 'Print help (see more with \'--help\')'
complete -c host-add -s V -l version -d 'Print version'
