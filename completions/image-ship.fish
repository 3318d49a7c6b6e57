complete -c image-ship -l from -d 'Send images from the engine at URL, or from any host among the records that has them' -r
complete -c image-ship -l image -d 'Image that each host record is to have; may be given more than once' -r
complete -c image-ship -l rate -d 'Send no faster than RATE, such as 80mbit or 10mbps, to all hosts together' -r
complete -c image-ship -l concurrency -d 'Serve up to N hosts at the same time' -r
complete -c image-ship -l timeout -d 'Give up on an engine that neither takes nor gives anything of an image for so long' -r
complete -c image-ship -l docker-config -d 'Directory of Docker\'s config.json, which has the logins for registries [default: ~/.docker]' -r -F
complete -c image-ship -l pin -d 'Look up once what each tag means, and pass records on with the digest of that'
complete -c image-ship -l insecure -d 'Speak without encryption to engines at tcp:// whose host names no "tls" directory'
complete -c image-ship -l table -d 'Print a table for people instead of records'
complete -c image-ship -s h -l help -d 'Print help (see more with \'--help\')'
complete -c image-ship -s V -l version -d 'Print version'
