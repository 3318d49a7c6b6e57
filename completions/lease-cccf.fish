complete -c lease-cccf -l template -d 'File with the container documents that each client gets whom no rule matches: cccf(5)' -r -F
complete -c lease-cccf -l rules -d 'File with rules: which template is for which client' -r -F
complete -c lease-cccf -l owner -d 'Owner of the containers, where the template names none' -r
complete -c lease-cccf -l max-clients -d 'The most clients that have containers at a time' -r
complete -c lease-cccf -l max-per-prefix -d 'The most clients whose addresses have the same first bits: N, or N/LEN for other than 64 of them' -r
complete -c lease-cccf -l current -d 'What is there, as docker-cccf lists it: its clients keep their places under the caps' -r -F
complete -c lease-cccf -l private-network -d 'Put the containers that a client gets from --template into a network of their own'
complete -c lease-cccf -l explain -d 'Tell which rule matches each client and why, instead of its containers'
complete -c lease-cccf -l table -d 'Print a table for people instead of records'
complete -c lease-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-cccf -s V -l version -d 'Print version'
