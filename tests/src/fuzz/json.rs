//! Mutations of JSON that are JSON again.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::mutate::{NUMBERS, Pool, few_or_many};

/// How deep a value may be wrapped: readers are said to stop at 128.
const DEEP: usize = 200;

/// All names of members in a value.
pub(super) fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.keys().cloned();
            own.chain(members.values().flat_map(keys)).collect()
        }
        Value::Array(values) => values.iter().flat_map(keys).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// One to three changes; none where the entry is no JSON.
pub(super) fn mutation(pool: &Pool, entry: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(entry).ok()?;
    for _ in 0..rng.usize(1..=3) {
        let mut place = rng.usize(..count(&value));
        let change = &mut |node: &mut Value| change(pool, entry.len(), node, &mut *rng);
        at(&mut value, &mut place, change);
    }
    serde_json::to_vec(&value).ok()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(count).sum(),
        Value::Array(values) => values.iter().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Does something with the node at a place, counted from the root on. Whether it was there.
fn at(value: &mut Value, place: &mut usize, change: &mut dyn FnMut(&mut Value)) -> bool {
    if *place == 0 {
        change(value);
        return true;
    }
    *place -= 1;
    match value {
        Value::Object(members) => members.values_mut().any(|each| at(each, place, change)),
        Value::Array(values) => values.iter_mut().any(|each| at(each, place, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn change(pool: &Pool, length: usize, node: &mut Value, rng: &mut Rng) {
    if rng.u8(..8) == 0 {
        *node = other(pool, rng);
        return;
    }
    match node {
        Value::Object(members) => of_members(pool, members, rng),
        Value::Array(values) => of_list(pool, length, values, rng),
        Value::String(text) => *text = of_text(pool, text, rng),
        Value::Number(_) => *node = number(rng),
        Value::Null | Value::Bool(_) => *node = other(pool, rng),
    }
    if rng.u8(..64) == 0 {
        let inner = std::mem::take(node);
        *node = (0..rng.usize(1..DEEP)).fold(inner, |inner, _| json!([inner]));
    }
}

fn of_members(pool: &Pool, members: &mut Map<String, Value>, rng: &mut Rng) {
    let own = members.keys().nth(rng.usize(..=members.len())).cloned();
    let any = rng.choice(pool.keys()).cloned().unwrap_or_default();
    match (rng.u8(..4), own) {
        (0, Some(own)) => drop(members.remove(&own)),
        (1, Some(own)) => {
            let value = members.remove(&own).unwrap_or_default();
            members.insert(any, value);
        }
        (2, Some(own)) => drop(members.insert(own, other(pool, rng))),
        _ => drop(members.insert(any, other(pool, rng))),
    }
}

fn of_list(pool: &Pool, length: usize, values: &mut Vec<Value>, rng: &mut Rng) {
    let place = rng.usize(..=values.len());
    match (rng.u8(..4), values.get(place).cloned()) {
        (0, Some(_)) => drop(values.remove(place)),
        (1, Some(copy)) => {
            let bytes = copy.to_string().len() + 1;
            let times = few_or_many(pool.longest().saturating_sub(length) / bytes, rng);
            values.splice(place..place, std::iter::repeat_n(copy, times));
        }
        (2, _) => {
            let small = rng.choice([json!({}), json!([]), json!(""), json!(null), json!(0)]);
            let times = few_or_many(pool.longest().saturating_sub(length) / 5, rng);
            values.extend(std::iter::repeat_n(small.unwrap_or_default(), times));
        }
        _ => values.insert(place, other(pool, rng)),
    }
}

fn of_text(pool: &Pool, text: &str, rng: &mut Rng) -> String {
    let bytes = match rng.u8(..4) {
        0 => rng.choice(pool.words()).cloned().unwrap_or_default(),
        _ => pool.of_bytes(text.as_bytes(), rng),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

fn number(rng: &mut Rng) -> Value {
    let text = rng.choice(NUMBERS).unwrap_or("0");
    serde_json::from_str(text).unwrap_or_default()
}

/// Something else: small and odd, or a piece of another input.
fn other(pool: &Pool, rng: &mut Rng) -> Value {
    match rng.u8(..8) {
        0 => Value::Null,
        1 => Value::Bool(rng.bool()),
        2 => number(rng),
        3 => json!([]),
        4 => json!({}),
        5 => Value::String(of_text(pool, "", rng)),
        _ => piece(pool, rng),
    }
}

fn piece(pool: &Pool, rng: &mut Rng) -> Value {
    let Ok(mut donor) = serde_json::from_slice::<Value>(pool.pick(rng)) else {
        return Value::Null;
    };
    let (mut place, mut taken) = (rng.usize(..count(&donor)), Value::Null);
    at(&mut donor, &mut place, &mut |node| taken = std::mem::take(node));
    taken
}
