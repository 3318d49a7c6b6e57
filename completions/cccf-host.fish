complete -c cccf-host -l hosts -d 'File with host records [default: this machine\'s own engine, called "local"]' -r -F
complete -c cccf-host -l table -d 'Print a table for people instead of records'
complete -c cccf-host -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-host -s V -l version -d 'Print version'
