use super::*;

fn template(text: &str) -> Result<Template> {
    let owner = "edge".parse().unwrap();
    Template::parse(text, Manner { owner: Some(&owner), private_network: false })
}

fn client(hostname: Option<&str>) -> Client {
    let mut client = Client::examples(LABEL).pop().unwrap();
    client.hostname = hostname.map(|name| name.parse().unwrap());
    client
}

#[test]
fn a_name_is_made_of_host_name_and_key() {
    let template = template(r#"{"id":"web","image":"busybox"}"#).unwrap();
    let alpha = client(Some("Alpha.example"));
    let name = |client: &Client| template.fill(client).unwrap()[0].id.to_string();
    assert_eq!(name(&alpha), format!("web-alpha-{}", alpha.key));
    assert_eq!(name(&client(None)), format!("web-{}", alpha.key));
    let container = &template.fill(&alpha).unwrap()[0];
    assert_eq!(container.owner.as_ref().unwrap().as_str(), "edge");
    assert_eq!(container.lease.as_ref().unwrap().key, alpha.key);
}

#[test]
fn the_identity_outlives_the_host_name() {
    let template = template(r#"[{"id":"a","image":"b"},{"id":"c","image":"b"}]"#).unwrap();
    let keys = |name| -> Vec<Key> {
        template.fill(&client(name)).unwrap().iter().map(|c| c.identity()).collect()
    };
    assert_eq!(keys(Some("old")), keys(Some("new")));
    assert_ne!(keys(None)[0], keys(None)[1]);
}

#[test]
fn strings_are_filled_wherever_they_stand() {
    let template = template(
        r#"{"id":"x-${lease.key}","image":"b","env":["A=${lease.address}","B=$${x}"],
            "labels":{"who":"${lease.hostname:-nobody}"},"x":{"deep":["${lease.iaid}"]}}"#,
    )
    .unwrap();
    let container = &template.fill(&client(None)).unwrap()[0];
    assert_eq!(container.labels["who"], "nobody");
    assert_eq!(container.env[1].as_str(), "B=${x}");
    assert!(container.env[0].as_str().starts_with("A=2001:db8::"));
    assert_eq!(container.rest.get("x"), Some(r#"{"deep":["1"]}"#));
}

#[test]
fn an_unknown_variable_is_told_with_those_that_are_known() {
    let told = template(r#"{"id":"x","image":"b","cmd":"${lease.nme}"}"#).unwrap_err().to_string();
    assert!(told.contains("lease.nme") && told.contains("lease.name"), "{told}");
    for bad in [
        "",
        "[]",
        "7",
        "{\"id\":\"x\"",
        r#"{"image":"b"}"#,
        r#"{"id":"x"}"#,
        r#"{"id":"x","image":"${HOME}"}"#,
        r#"{"id":"x","image":"b","cmd":"${lease.key"}"#,
        r#"{"id":"x_y","image":"b"}"#,
        r#"{"id":"x","image":"b","lease":{}}"#,
        r#"[{"id":"x","image":"b"},{"id":"x","image":"c"}]"#,
        r#"{"id":"a-name-that-is-too-long-with-a-key-in-it","image":"b"}"#,
    ] {
        assert!(template(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_a_client_sends_adds_no_field() {
    let template = template(r#"{"id":"x","image":"b","env":["H=${lease.source}"]}"#).unwrap();
    let mut hostile = client(None);
    hostile.source = r#""],"privileged":true,"x":[""#.into();
    let container = &template.fill(&hostile).unwrap()[0];
    assert!(!container.privileged);
    assert_eq!(container.env[0].as_str(), format!("H={}", hostile.source));
}

fn private(text: &str) -> Result<Template> {
    Template::parse(text, Manner { owner: None, private_network: true })
}

#[test]
fn a_client_s_containers_are_known_to_each_other_by_their_ids() {
    let text =
        r#"[{"id":"web","image":"b"},{"id":"${lease.name}-db-${lease.iaid}-a","image":"b"}]"#;
    let client = client(Some("alpha"));
    let containers = private(text).unwrap().fill(&client).unwrap();
    let networks: Vec<_> = containers.iter().map(|c| c.private_network.clone().unwrap()).collect();
    let aliases: Vec<&str> = networks.iter().map(|network| network.alias.as_str()).collect();
    assert_eq!(aliases, ["web", "db-a"]);
    for network in networks {
        assert_eq!(network.name.as_str(), format!("leasepipe-leasepipe-{}", client.key));
    }
    assert!(template(text).unwrap().fill(&client).unwrap()[0].private_network.is_none());
    for bad in [
        r#"{"id":"${lease.key}","image":"b"}"#,
        r#"[{"id":"a-${lease.key}","image":"b"},{"id":"${lease.key}-a","image":"b"}]"#,
        r#"{"id":"web","image":"b","ports":["80:80"]}"#,
        r#"{"id":"web","image":"b","network_mode":"host"}"#,
    ] {
        assert!(private(bad).is_err(), "{bad}");
        assert!(bad.starts_with('[') || template(bad).is_ok(), "{bad}");
    }
    assert!(template(r#"{"id":"web","image":"b","private_network":{}}"#).is_err());
}

#[test]
fn the_name_of_a_network_is_short_and_its_owner_s() {
    let key = Key::derive("test", &[]);
    let name = |owner: &str| network_name(Some(&owner.parse().unwrap()), key).to_string();
    assert_eq!(name("edge"), format!("leasepipe-edge-{key}"));
    assert_eq!(name(&"x".repeat(39)).len(), 63);
    let (one, other) = (name(&("x".repeat(62) + "1")), name(&("x".repeat(62) + "2")));
    assert_eq!((one.len(), other.len()), (63, 63));
    assert_ne!(one, other);
}

#[test]
fn a_container_may_live_in_the_client_s_prefix() {
    let text = r#"{"id":"web","image":"b","addresses":["${lease.prefix_address}/64"],
        "env":["NET=${lease.prefix:-none}","LEN=${lease.prefix_len}"]}"#;
    let template = template(text).unwrap();
    let mut client = client(None);
    client.prefixes = vec!["2001:db8:a00::/40".parse().unwrap()];
    let container = &template.fill(&client).unwrap()[0];
    assert_eq!(container.env[0].as_str(), "NET=2001:db8:aff:ffff::/64");
    assert_eq!(container.env[1].as_str(), "LEN=40");
    let fixed = container.addresses[0];
    let expected = client.address_of(&container.identity()).map(std::net::IpAddr::from);
    assert_eq!(Some(fixed.address), expected);
    assert_eq!((fixed.prefix_len, fixed.router), (64, None));
    client.prefixes.clear();
    let told = template.fill(&client).unwrap_err().to_string();
    assert!(told.contains("\"addresses\": \"/64\" is not an address to give"), "{told}");
}
