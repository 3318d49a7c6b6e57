use super::*;
use crate::logic::clients::Client;

const TEMPLATE: &str = r#"{"id":"web","image":"busybox"}"#;

fn rules(text: &str) -> Result<Rules, Vec<String>> {
    let mut load = |path: &str| match path {
        "app.json" => Ok(TEMPLATE.to_owned()),
        path => Err(Error::new(crate::error::Kind::NotFound, format_args!("read {path}"))),
    };
    Rules::parse(text, None, &mut load)
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

/// A client with something in every field.
fn client() -> Client {
    let mut client = Client::examples(1).remove(0);
    client.duid = Some("00:03:00:01:52:54:00:00:00:01".parse().unwrap());
    client.addresses = ["2001:db8::1", "2001:db8:5::1"].map(|a| a.parse().unwrap()).to_vec();
    client.prefixes = vec!["2001:db8:f::/56".parse().unwrap()];
    client.hostname = Some("Cam-7.example".parse().unwrap());
    client.source = "kea:/var/lib/kea/kea-leases6.csv".into();
    client.mac = Some("52:54:00:00:00:01".parse().unwrap());
    client.classes.vendor = vec!["acme camera".to_owned()];
    client.classes.user = vec!["iot".to_owned(), "lab".to_owned()];
    client
}

/// Whether a rule that asks for this matches.
fn matches(asked: &str, client: &Client) -> bool {
    let text = format!(r#"{{"match": {asked}, "template": "none"}}"#);
    rules(&text).unwrap().choose(client).is_some()
}

#[test]
fn each_field_is_asked_in_its_own_way() {
    let client = client();
    for (held, missed) in [
        (r#"{"duid":"00:03:00:01:52:54:00"}"#, r#"{"duid":"00:01"}"#),
        (r#"{"duid":"00:03:00:01:52:54:00:00:00:01"}"#, r#"{"duid":["00:04","52:54"]}"#),
        (r#"{"address":"2001:db8:5::/48"}"#, r#"{"address":"2001:db8:6::/48"}"#),
        (r#"{"address":"2001:db8::1-2001:db8::9"}"#, r#"{"address":"2001:db8::2-2001:db8::9"}"#),
        (r#"{"address":"2001:db8::1"}"#, r#"{"address":"2001:db8::2"}"#),
        (r#"{"prefix":"2001:db8:f::/48"}"#, r#"{"prefix":"2001:db8:f::/64"}"#),
        (r#"{"hostname":"CAM-[0-9].*"}"#, r#"{"hostname":"cam-[0-9]"}"#),
        (r#"{"hostname":["x","cam-*"]}"#, r#"{"hostname":["x","y"]}"#),
        (r#"{"source":"kea:*"}"#, r#"{"source":"dnsmasq:*"}"#),
        (r#"{"mac":"52:54:00"}"#, r#"{"mac":"52:55"}"#),
        (r#"{"vendor_class":"acme *"}"#, r#"{"vendor_class":"ACME *"}"#),
        (r#"{"user_class":"lab"}"#, r#"{"user_class":"la"}"#),
        (r#"{"family":"ipv6"}"#, r#"{"family":"ipv4"}"#),
        (r#"{"type":["ta","pd"]}"#, r#"{"type":"ta"}"#),
        (r#"{"hostname":"cam-*","type":"na"}"#, r#"{"hostname":"cam-*","type":"ta"}"#),
        ("{}", r#"{"address":["::/128"]}"#),
    ] {
        assert!(matches(held, &client), "{held}");
        assert!(!matches(missed, &client), "{missed}");
    }
}

#[test]
fn who_has_nothing_there_does_not_match() {
    let mut bare = client();
    (bare.duid, bare.hostname, bare.mac) = (None, None, None);
    (bare.addresses, bare.prefixes) = (vec![], vec![]);
    bare.classes = Default::default();
    for asked in [
        r#"{"duid":"00"}"#,
        r#"{"address":"::/0"}"#,
        r#"{"prefix":"::/0"}"#,
        r#"{"hostname":"*"}"#,
        r#"{"mac":"52"}"#,
        r#"{"vendor_class":"*"}"#,
        r#"{"user_class":"*"}"#,
    ] {
        assert!(!matches(asked, &bare), "{asked}");
    }
}

#[test]
fn the_first_that_matches_decides() {
    let all = rules(
        r#"[{"match":{"hostname":"nas-*"},"template":"none"},
            {"match":{"vendor_class":"acme*","type":"na"},"template":"app.json"}]
           {"template":[{"id":"a","image":"b"},{"id":"c","image":"b"}]}"#,
    )
    .unwrap();
    let client = client();
    assert_eq!(all.choose(&client).unwrap().name, "app.json");
    let told = serde_json::to_value(all.explain(&client)).unwrap();
    assert_eq!((&told["rule"], &told["template"]), (&2.into(), &"app.json".into()));
    assert_eq!(
        told["passed_over"],
        serde_json::json!([
            {"rule": 1, "field": "hostname", "value": "Cam-7.example", "wanted": "nas-*"}
        ])
    );
    assert_eq!(
        told["why"],
        serde_json::json!([
            {"field": "vendor_class", "value": "acme camera", "wanted": "acme*"},
            {"field": "type", "value": "na", "wanted": "na"}
        ])
    );
    let other = Client { classes: Default::default(), hostname: None, ..client };
    let told = serde_json::to_value(all.explain(&other)).unwrap();
    assert_eq!((&told["rule"], &told["template"]), (&3.into(), &"a,c".into()));
    assert_eq!(told.get("why"), None);
    let over: Vec<bool> =
        told["passed_over"].as_array().unwrap().iter().map(|g| g.get("value").is_some()).collect();
    assert_eq!(over, [false, false], "it has neither");
}

#[test]
fn no_rule_and_the_rule_of_none_are_two_things() {
    let client = client();
    let all = rules(r#"{"match":{"type":"ta"},"template":"none"}"#).unwrap();
    assert!(all.choose(&client).is_none());
    assert_eq!(all.explain(&client).rule, None);
    let all = rules(r#"{"template":"none"}"#).unwrap();
    assert!(all.choose(&client).unwrap().template.is_none());
    assert_eq!(all.explain(&client).template.unwrap(), "none");
}

#[test]
fn all_that_is_wrong_is_told_with_rule_field_and_value() {
    let wrong = rules(
        r#"[{"match":{"hostnme":"x","address":"192.0.2.0/24"},"template":"app.json"},
            {"match":{"duid":["00:3","zz"],"hostname":7},"template":"app.json"},
            {"template":"app.json"},
            {"match":[],"templates":1},
            {"match":{"type":"nx","address":[]},"template":"gone.json"},
            {"template":{"id":"x"},"private_network":"yes"},
            {"template":7}, 8,
            {"template":"none","private_network":true},
            {"template":{"id":"x","image":"b","cmd":"${lease.nme}"}},
            {"match":{"hostname":"a","hostname":"b"},"template":"none"}]"#,
    )
    .unwrap_err();
    let told = wrong.join("\n");
    for part in [
        r#"rule 1: field "match.hostnme" is not known, in "x"; known are address, duid"#,
        r#"rule 1: field "match.address": "192.0.2.0/24" is not IPv6 addresses"#,
        r#"rule 2: field "match.duid": "00:3" is not hex pairs joined by colons, "zz" is not"#,
        r#"rule 2: field "match.hostname": 7 is not a string"#,
        r#"rule 4: field "match": [] is not a JSON object"#,
        r#"rule 4: field "templates" is not known, in 1"#,
        r#"rule 4: field "template" is missing"#,
        r#"rule 5: field "match.type": "nx" is not a word"#,
        r#"rule 5: field "match.address": an empty list matches nobody"#,
        r#"rule 5: field "template": read gone.json"#,
        r#"rule 6: field "private_network": "yes" is neither true nor false"#,
        r#"rule 6: field "template": template "x": "#,
        r#"rule 7: field "template": 7 is neither a path"#,
        r#"rule 8: 8 is not a JSON object"#,
        r#"rule 9: field "private_network": there is no container"#,
        r#"rule 10: field "template": template "x": "${lease.nme}": unknown variable"#,
        r#"rule 11: field "match": field "hostname" stands twice"#,
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains("rule 3"), "{told}");
    for empty in ["", "[]", "[", "{"] {
        assert_eq!(rules(empty).unwrap_err().len(), 1, "{empty}");
    }
}
