complete -c compose-cccf -l project -d 'Name of the project [default: the files\' name, or their directory\'s]' -r
complete -c compose-cccf -l directory -d 'Directory that relative paths in the files are of [default: that of the first file]' -r -F
complete -c compose-cccf -l profile -d 'Include the services of this profile; "*" means all' -r
complete -c compose-cccf -l service -d 'Only this service and those that it depends on' -r
complete -c compose-cccf -l env -d 'Set a variable of the files; without a value, to that of this process' -r
complete -c compose-cccf -l env-file -d 'File with variables, a NAME=VALUE on each line' -r -F
complete -c compose-cccf -l owner -d 'Owner of the containers' -r
complete -c compose-cccf -l inherit -d 'Take all variables of this process'
complete -c compose-cccf -l strict -d 'Write nothing when something has no counterpart'
complete -c compose-cccf -l table -d 'Print a table for people instead of records'
complete -c compose-cccf -s h -l help -d 'Print help (see more with \'--help\')'
complete -c compose-cccf -s V -l version -d 'Print version'
