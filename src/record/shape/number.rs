//! The bounds of what is written as a number. That 1.0 is no whole number is what JSON Schema cannot
//! say.

use serde_json::{Value, json};

use super::super::{Amount, Bytes, Cpus, Swap, Ulimit, VlanId, Vni};
use super::{Defs, Shape};

/// A size in text: digits and a unit. That it is less than 8 EiB is not said.
const SIZE: &str = "^[0-9]+(?:[bB]|[kKmMgGtT][bB]?)?$";

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Shape for $type {
            fn schema(_: &mut Defs) -> Value {
                json!({"type": "integer", "minimum": <$type>::MIN, "maximum": <$type>::MAX})
            }
        }
    )*};
}

whole!(u8, u16, u32, u64, i32, i64);

macro_rules! bounded {
    ($($type:ty),*) => {$(
        impl Shape for $type {
            fn schema(_: &mut Defs) -> Value {
                let (least, most) = <$type>::BOUNDS;
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
        }
    )*};
}

bounded!(VlanId, Vni);

impl Shape for f64 {
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "number"})
    }
}

impl Shape for bool {
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "boolean"})
    }
}

impl Shape for Bytes {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Bytes", |_| {
            json!({
                "description": "Bytes: a number, or text with the unit b, k, m, g or t of 1024 each",
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": i64::MAX},
                    {"type": "string", "pattern": SIZE},
                ],
            })
        })
    }
}

impl Shape for Swap {
    fn schema(defs: &mut Defs) -> Value {
        let bytes = Bytes::schema(defs);
        json!({"anyOf": [bytes, {"const": -1}]})
    }
}

impl Shape for Cpus {
    /// That less than half a billionth is nothing, and that much short of a million a million, is
    /// not said.
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000})
    }
}

impl Shape for Amount {
    /// That it has three decimals at most, and in text is less than 2^53, is not said.
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Amount", |_| {
            json!({
                "description": "A number with three decimals at most, or a size in text",
                "anyOf": [
                    {"type": "number", "minimum": 0, "exclusiveMaximum": 1_u64 << 53},
                    {"type": "string", "pattern": SIZE},
                ],
            })
        })
    }
}

impl Shape for Ulimit {
    /// That soft is at most hard is not said.
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Ulimit", |_| {
            let limit = json!({"type": "integer", "minimum": -1, "maximum": i64::MAX});
            json!({
                "description": "One number, or two; -1 is no limit",
                "anyOf": [
                    limit,
                    {
                        "type": "object",
                        "properties": {"soft": limit, "hard": limit},
                        "required": ["soft", "hard"],
                        "additionalProperties": false,
                    },
                ],
            })
        })
    }
}
