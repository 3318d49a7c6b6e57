# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_unionize_global_optspecs
    string join \n netns= pid= host= wait bridge= kind= parent= mode= vlan= vni= remote= port= i/interface= l/link= mac= mtu= address= delegate= route= rule= rate= dns no-rapid-commit dad= action= allow-from= timeout= state= ovs= dry-run concurrency= table h/help V/version
end

function __fish_unionize_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_unionize_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_unionize_using_subcommand
    set -l cmd (__fish_unionize_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c unionize -n "__fish_unionize_needs_command" -l netns -d 'The network namespace at PATH, of whatever it is' -r
complete -c unionize -n "__fish_unionize_needs_command" -l pid -d 'The network namespace of this process' -r
complete -c unionize -n "__fish_unionize_needs_command" -l host -d 'Ask the engine of this machine at URL for CONTAINER: Docker, or Podman\'s socket' -r
complete -c unionize -n "__fish_unionize_needs_command" -l bridge -d 'Plug containers into this bridge, unless their documents say where in networks' -r
complete -c unionize -n "__fish_unionize_needs_command" -l kind -d 'What the interface is [default: veth]' -r -f -a "veth\t'One end of a pair, whose other end is a port of the bridge'
ovs\t'The same, the bridge being one of Open vSwitch'
macvlan\t'A MAC address of its own on the parent'
ipvlan\t'IP addresses of its own on the parent, whose MAC address it shares'
vlan\t'One VLAN of the parent'
direct\t'The parent itself, moved into the container'
dummy\t'An interface that leads nowhere'
vxlan\t'A segment that goes over UDP'"
complete -c unionize -n "__fish_unionize_needs_command" -l parent -d 'The host\'s interface that it stands on, or that is moved in itself: its name, or mac: and its address' -r
complete -c unionize -n "__fish_unionize_needs_command" -l mode -d 'How several on one parent see each other [default: bridge for macvlan, l2 for ipvlan]' -r -f -a "bridge\t'macvlan: they reach each other, and not the host'
private\t'macvlan: they do not'
vepa\t'macvlan: by way of a switch that sends their frames back'
passthru\t'macvlan: there is one, which has the parent to itself'
l2\t'ipvlan: they share a link'
l3\t'ipvlan: the host routes between them'
l3s\t'ipvlan: the same, and the host\'s packet filter sees them'"
complete -c unionize -n "__fish_unionize_needs_command" -l vlan -d 'The VLAN that it is in' -r
complete -c unionize -n "__fish_unionize_needs_command" -l vni -d 'The number of the VXLAN segment' -r
complete -c unionize -n "__fish_unionize_needs_command" -l remote -d 'Where a VXLAN sends frames for stations that it does not know' -r
complete -c unionize -n "__fish_unionize_needs_command" -l port -d 'The UDP port of a VXLAN [default: 4789]' -r
complete -c unionize -n "__fish_unionize_needs_command" -s i -l interface -d 'Name of the first interface inside the container [default: eth0, or the next that is not Docker\'s]' -r
complete -c unionize -n "__fish_unionize_needs_command" -s l -l link -d 'Name of the first interface\'s other end on the host [default: lp and 13 characters]' -r
complete -c unionize -n "__fish_unionize_needs_command" -l mac -d 'Hardware address of the first interface, or U: and a text from which it follows [default: from the container\'s identity]' -r
complete -c unionize -n "__fish_unionize_needs_command" -l mtu -d 'Largest packet on the interface [default: that of what it is plugged into]' -r
complete -c unionize -n "__fish_unionize_needs_command" -l address -d 'Where an address comes from: dhcp6, dhcp6-temporary, dhcp4, slaac, none, or ADDRESS/LENGTH, with @ROUTER behind it for a default route' -r
complete -c unionize -n "__fish_unionize_needs_command" -l delegate -d 'Also ask for a prefix of this length (DHCPv6 prefix delegation)' -r
complete -c unionize -n "__fish_unionize_needs_command" -l route -d 'Add a route over it, in the words of ip-route(8)' -r
complete -c unionize -n "__fish_unionize_needs_command" -l rule -d 'Add a rule, in the words of ip-rule(8)' -r
complete -c unionize -n "__fish_unionize_needs_command" -l rate -d 'Let it send and receive no faster than this, in bits per second (10mbit)' -r
complete -c unionize -n "__fish_unionize_needs_command" -l dad -d 'How to find out whether another station has the address' -r -f -a "optimistic\t'Use it at once; a duplicate found later is declined and told (RFC 4429)'
wait\t'Use it when it is clear that nobody else does, after one to two seconds'
off\t'Do not ask'"
complete -c unionize -n "__fish_unionize_needs_command" -l action -d 'What to do with every container, whatever its record asks for' -r -f -a "add\t'Make sure that it is plugged in'
remove\t'Take its interfaces away and give back its leases'"
complete -c unionize -n "__fish_unionize_needs_command" -l allow-from -d 'Who may reach the container through the interface: any, or lease, the client whose lease it is for' -r -f -a "any\t'Everybody who can'
lease\t'The client whose lease it is for, at the ports that its document allows, and nobody else'"
complete -c unionize -n "__fish_unionize_needs_command" -l timeout -d 'Give up on a container after this time' -r
complete -c unionize -n "__fish_unionize_needs_command" -l state -d 'Remember attachments in this directory' -r -F
complete -c unionize -n "__fish_unionize_needs_command" -l ovs -d 'Reach the database of Open vSwitch through this socket' -r -F
complete -c unionize -n "__fish_unionize_needs_command" -l concurrency -d 'Work on up to N records at the same time' -r
complete -c unionize -n "__fish_unionize_needs_command" -l wait -d 'Wait until --interface can be used, in this network namespace or that of --netns or --pid, and do nothing else'
complete -c unionize -n "__fish_unionize_needs_command" -l dns -d 'Write the name servers that DHCP servers tell of into the container\'s resolv.conf'
complete -c unionize -n "__fish_unionize_needs_command" -l no-rapid-commit -d 'Ask DHCPv6 servers for offers first, where several of them serve the link'
complete -c unionize -n "__fish_unionize_needs_command" -l dry-run -d 'Tell what would be done, and do nothing'
complete -c unionize -n "__fish_unionize_needs_command" -l table -d 'Print a table for people instead of records'
complete -c unionize -n "__fish_unionize_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c unionize -n "__fish_unionize_needs_command" -s V -l version -d 'Print version'
complete -c unionize -n "__fish_unionize_needs_command" -a "renew" -d 'Leases held → changes: renew the leases that are due, once or for ever, and write out their containers'
complete -c unionize -n "__fish_unionize_needs_command" -a "list" -d 'Attachments → records: what is held, until when'
complete -c unionize -n "__fish_unionize_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l host -d 'Ask the engine of this machine at URL which containers there are; may be given several times' -r
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l timeout -d 'Give up on a container after this time' -r
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l state -d 'Remember attachments in this directory' -r -F
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l ovs -d 'Reach the database of Open vSwitch through this socket' -r -F
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l concurrency -d 'Work on up to N records at the same time' -r
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l follow -d 'Keep all leases until told to end, and attach again what is restarted'
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l all -d 'Also renew leases whose time has not come'
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l dry-run -d 'Tell what would be done, and do nothing'
complete -c unionize -n "__fish_unionize_using_subcommand renew" -l table -d 'Print a table for people instead of records'
complete -c unionize -n "__fish_unionize_using_subcommand renew" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c unionize -n "__fish_unionize_using_subcommand list" -l state -d 'Attachments are remembered in this directory' -r -F
complete -c unionize -n "__fish_unionize_using_subcommand list" -l table -d 'Print a table for people instead of records'
complete -c unionize -n "__fish_unionize_using_subcommand list" -s h -l help -d 'Print help'
complete -c unionize -n "__fish_unionize_using_subcommand help; and not __fish_seen_subcommand_from renew list help" -f -a "renew" -d 'Leases held → changes: renew the leases that are due, once or for ever, and write out their containers'
complete -c unionize -n "__fish_unionize_using_subcommand help; and not __fish_seen_subcommand_from renew list help" -f -a "list" -d 'Attachments → records: what is held, until when'
complete -c unionize -n "__fish_unionize_using_subcommand help; and not __fish_seen_subcommand_from renew list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
