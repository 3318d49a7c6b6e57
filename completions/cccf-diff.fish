complete -c cccf-diff -l current -d 'What is there: a file, or a stream such as <(docker-cccf --owner NAME --follow)' -r -F
complete -c cccf-diff -l owner -d 'Consider only this owner\'s containers; without it, every owner\'s' -r
complete -c cccf-diff -l max-remove -d 'Refuse a listing that would remove more containers, or of four and more a larger share' -r
complete -c cccf-diff -l settle -d 'Ask again for a change that does not show within this time, then later each time' -r
complete -c cccf-diff -l ignore -d 'Do not compare this field; a container that is kept keeps what it has there' -r
complete -c cccf-diff -l format -d 'Write changes in this form' -r -f -a "records\t'Change records, one a line'
summary\t'One object with the lists add, keep and remove; what is to be replaced is in two of them'
text\t'Lines for people'"
complete -c cccf-diff -l complete -d 'Take the end of standard input for the end of a full listing'
complete -c cccf-diff -l force -d 'Remove however many a listing leaves out'
complete -c cccf-diff -l exit-code -d 'End with 1 when anything is to be added, replaced or removed'
complete -c cccf-diff -l table -d 'Print a table for people instead of records'
complete -c cccf-diff -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cccf-diff -s V -l version -d 'Print version'
