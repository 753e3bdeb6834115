//! Cutting a file's content out of an object.

use super::material::Part;
use base64::Engine as _;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::plan::{Cut, Encoding};
use crate::error::{Problem, Reason};
use crate::secret::Secret;
use crate::text::{nearest, short};

/// The piece of a part that a file asks for, shared, not copied.
///
/// # Errors
/// `not_found` where the field is absent; the names of the others are told, since they are not secret.
pub fn cut(part: &Part, cut: &Cut) -> Result<Secret, Problem> {
    match cut {
        Cut::Whole => Ok(part.body.clone()),
        Cut::Field(field) => part.fields.get(field).cloned().ok_or_else(|| absent(part, field)),
        Cut::Decoded(field, encoding) => {
            let text = part.fields.get(field).ok_or_else(|| absent(part, field))?;
            decode(text, *encoding).ok_or_else(|| {
                let what = format!("the field `{}` is not {}", short(field), encoding.label());
                Problem::new(Reason::Invalid, what)
                    .remedy("correct the value in the store, or the encoding in the class")
            })
        }
    }
}

/// The bytes that a text stands for; `None` where it stands for none.
fn decode(text: &Secret, encoding: Encoding) -> Option<Secret> {
    let text = text.expose();
    let bytes = match encoding {
        Encoding::Hex => {
            let digit = |b: u8| char::from(b).to_digit(16);
            let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
            let (pairs, rest) = text.as_chunks::<2>();
            rest.is_empty().then(|| pairs.iter().map(|two| pair(two)).collect::<Option<Vec<u8>>>())??
        }
        Encoding::Base64 => {
            let packed = Zeroizing::new(
                text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<u8>>(),
            );
            BASE64.decode(&*packed).ok()?
        }
    };
    Some(Secret::new(Zeroizing::new(bytes)))
}

/// As lenient as Go's `StdEncoding`: bits that the last character has too many are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn absent(part: &Part, field: &str) -> Problem {
    let problem = Problem::new(Reason::NotFound, format!("there is no field `{}`", short(field)));
    let names: Vec<&str> = part.fields.keys().map(String::as_str).take(16).collect();
    match (nearest(field, part.fields.keys().map(String::as_str)), names.is_empty()) {
        (Some(near), _) => problem.remedy(format!("did you mean `{near}`?")),
        (None, true) => problem.remedy("it is one value without fields: name it without a field"),
        (None, false) => problem.remedy(format!("it has {}", names.join(", "))),
    }
}
