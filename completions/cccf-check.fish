complete -c cccf-check -l random -d 'Print N containers that somebody could have' -r
complete -c cccf-check -l seed -d 'Which N containers; the same for the same number' -r
complete -c cccf-check -l strict -d 'Refuse fields that this version does not know'
complete -c cccf-check -l schema -d 'Print the JSON Schema (2020-12) of container documents'
complete -c cccf-check -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-check -s V -l version -d 'Print version'
