//! How Docker finds out whether a container is healthy.

use bollard::models::HealthConfig;

use crate::record::{Healthcheck, Object, Test};

const NANOS_A_MILLI: i64 = 1_000_000;

/// What Docker is to be asked for. It takes what is absent from the image, and else its default.
pub(super) fn asked(check: &Healthcheck) -> HealthConfig {
    let nano = |milli: Option<u64>| {
        let milli = i64::try_from(milli?).unwrap_or(i64::MAX);
        Some(milli.saturating_mul(NANOS_A_MILLI))
    };
    HealthConfig {
        test: check.test.as_ref().map(Test::to_vec),
        interval: nano(check.interval_ms),
        timeout: nano(check.timeout_ms),
        start_period: nano(check.start_period_ms),
        retries: check.retries.map(i64::from),
        ..Default::default()
    }
}

/// What of a container's health check is neither its image's nor Docker's default.
pub(super) fn told(
    check: Option<&HealthConfig>,
    image: Option<&HealthConfig>,
) -> Option<Healthcheck> {
    let number = |of: fn(&HealthConfig) -> Option<i64>| {
        let number = check.and_then(of).filter(|number| *number > 0)?;
        (image.and_then(of) != Some(number)).then_some(number)
    };
    let milli = |of| number(of).and_then(|nano| u64::try_from(nano / NANOS_A_MILLI).ok());
    let test = |check: &HealthConfig| Test::from_words(check.test.as_deref()?);
    let told = Healthcheck {
        test: check.and_then(test).filter(|own| image.and_then(test).as_ref() != Some(own)),
        interval_ms: milli(|check| check.interval),
        timeout_ms: milli(|check| check.timeout),
        start_period_ms: milli(|check| check.start_period),
        retries: number(|check| check.retries).and_then(|retries| u32::try_from(retries).ok()),
        rest: Object::default(),
    };
    let nothing = Healthcheck {
        test: None,
        interval_ms: None,
        timeout_ms: None,
        start_period_ms: None,
        retries: None,
        rest: Object::default(),
    };
    (told != nothing).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(check: Value, image: Value) -> Value {
        let parse = |value| serde_json::from_value::<Option<HealthConfig>>(value).unwrap();
        serde_json::to_value(told(parse(check).as_ref(), parse(image).as_ref())).unwrap()
    }

    #[test]
    fn a_check_is_read_back_as_it_was_asked_for() {
        let document = json!({
            "test": ["CMD", "true"], "interval_ms": 5000, "timeout_ms": 1000,
            "start_period_ms": 2000, "retries": 3
        });
        let check: Healthcheck = serde_json::from_value(document.clone()).unwrap();
        let asked = serde_json::to_value(asked(&check)).unwrap();
        assert_eq!(asked["Interval"], 5_000_000_000_i64);
        assert_eq!(read(asked, Value::Null), document);
    }

    #[test]
    fn what_the_image_says_is_not_told() {
        let image = || json!({"Test": ["CMD-SHELL", "a"], "Interval": 9_000_000, "Retries": 2});
        assert_eq!(read(image(), image()), Value::Null);
        assert_eq!(read(Value::Null, image()), Value::Null);
        assert_eq!(
            read(json!({"Test": [], "Interval": 0, "Retries": 0}), Value::Null),
            Value::Null
        );
        assert_eq!(read(json!({"Test": ["NONE"]}), image()), json!({"test": ["NONE"]}));
        let longer = json!({"Test": ["CMD-SHELL", "a"], "Interval": 10_000_000, "Retries": 2});
        assert_eq!(read(longer, image()), json!({"interval_ms": 10}));
    }
}
