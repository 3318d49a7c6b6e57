# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_lease_bind_global_optspecs
    string join \n ledger= store= reserve= names= domain= protect= retain= table h/help V/version
end

function __fish_lease_bind_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_lease_bind_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_lease_bind_using_subcommand
    set -l cmd (__fish_lease_bind_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c lease-bind -n "__fish_lease_bind_needs_command" -l ledger -d 'The ledger: the SQLite file that bindings are kept in' -r -F
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l store -d 'An etcd to keep bindings in instead, for several machines' -r
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l reserve -d 'Where addresses are reserved for containers' -r
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l names -d 'Name containers after their clients, in this hostsdir of dnsmasq' -r -F
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l domain -d 'Let names be known in this domain, too' -r
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l protect -d 'Give nobody these names (with * and ?), or those in a file' -r
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l retain -d 'Delete bindings that ended longer ago, or none of them' -r
complete -c lease-bind -n "__fish_lease_bind_needs_command" -l table -d 'Print a table for people instead of records'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -s V -l version -d 'Print version'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -f -a "who" -d 'An address → bindings: whose it is'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -f -a "what" -d 'A client → bindings: what it has'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -f -a "list" -d 'All that holds now → bindings'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -f -a "history" -d 'All that is kept → bindings, those that have ended too, in the order in which they began'
complete -c lease-bind -n "__fish_lease_bind_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand who" -l at -d 'At this time; now, without it' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand who" -l ledger -d 'The ledger: the SQLite file that bindings are kept in' -r -F
complete -c lease-bind -n "__fish_lease_bind_using_subcommand who" -l store -d 'An etcd to keep bindings in instead, for several machines' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand who" -l table -d 'Print a table for people instead of records'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand who" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand what" -l at -d 'At this time; now, without it' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand what" -l ledger -d 'The ledger: the SQLite file that bindings are kept in' -r -F
complete -c lease-bind -n "__fish_lease_bind_using_subcommand what" -l store -d 'An etcd to keep bindings in instead, for several machines' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand what" -l table -d 'Print a table for people instead of records'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand what" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand list" -l owner -d 'Only this owner\'s' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand list" -l ledger -d 'The ledger: the SQLite file that bindings are kept in' -r -F
complete -c lease-bind -n "__fish_lease_bind_using_subcommand list" -l store -d 'An etcd to keep bindings in instead, for several machines' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand list" -l table -d 'Print a table for people instead of records'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand list" -s h -l help -d 'Print help'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l since -d 'Only what held at this time or later' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l until -d 'Only what began before this time' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l key -d 'Only this client\'s' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l container -d 'Only those of the container of this name' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l address -d 'Only those with this address on either side' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l owner -d 'Only this owner\'s' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l ledger -d 'The ledger: the SQLite file that bindings are kept in' -r -F
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l store -d 'An etcd to keep bindings in instead, for several machines' -r
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -l table -d 'Print a table for people instead of records'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand history" -s h -l help -d 'Print help'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand help; and not __fish_seen_subcommand_from who what list history help" -f -a "who" -d 'An address → bindings: whose it is'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand help; and not __fish_seen_subcommand_from who what list history help" -f -a "what" -d 'A client → bindings: what it has'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand help; and not __fish_seen_subcommand_from who what list history help" -f -a "list" -d 'All that holds now → bindings'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand help; and not __fish_seen_subcommand_from who what list history help" -f -a "history" -d 'All that is kept → bindings, those that have ended too, in the order in which they began'
complete -c lease-bind -n "__fish_lease_bind_using_subcommand help; and not __fish_seen_subcommand_from who what list history help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
