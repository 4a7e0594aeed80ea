//! The layouts of objects seen before, by which the next one is read.
//!
//! A layout is what an object has besides its values: the bytes before each
//! value, from the end of the one before (`,"price": `), the field that the
//! value belongs to, and the bytes behind the last value. Comparing them takes
//! the place of finding brackets, commas, white space and keys.
//!
//! ```text
//! {"auction":1007,"bidder":2001,"price":250}
//! ^^^^^^^^^^^    ^^^^^^^^^^    ^^^^^^^^^   ^
//! places: before, field        …           end
//! ```
//!
//! A layout never decides what JSON means: where the same bytes stood before,
//! the general reader would take the same steps again. So an object may follow a
//! layout for a while, change to another that is alike up to there, and be
//! left to the general reader between any two values; nothing is undone.

use std::collections::HashMap;

use super::cursor::{Cursor, Reason};
use super::scan::Literal;

/// How many layouts are kept.
const LAYOUTS_MAX: usize = 4;
/// How many values an object has that is remembered.
const PLACES_MAX: usize = 256;
/// How many bytes besides its values.
const LITERAL_BYTES_MAX: usize = 16 << 10;
/// So many objects must be read before one more layout is learned: learning costs about as much as reading twice.
const OBJECTS_A_LAYOUT: u32 = 32;

/// The fields of an object by their names.
pub(super) type FieldsByName = HashMap<Box<[u8]>, usize>;

/// An object without its values.
#[derive(Debug)]
pub(super) struct Layout {
    places: Vec<Place>,
    end: Literal,
    /// When an object was last read by it, in objects.
    used: u64,
}

/// A place for a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    before: Literal,
    /// The field that reads the value; the others skip it. No two places have the same.
    field: Option<usize>,
}

/// How far an object was read by layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// The values that were read.
    pub(super) values: usize,
    /// Whether that was all of the object. Otherwise something follows that no layout has there.
    pub(super) ended: bool,
}

/// A few layouts, and which one is followed.
#[derive(Debug)]
pub(super) struct Layouts {
    known: Vec<Layout>,
    followed: usize,
    objects: u64,
    /// Objects read that no layout was learned for yet.
    credit: u32,
}

impl Default for Layouts {
    fn default() -> Self {
        Self { known: Vec::new(), followed: 0, objects: 0, credit: Self::CREDIT_MAX }
    }
}

impl Layouts {
    const CREDIT_MAX: u32 = LAYOUTS_MAX as u32 * OBJECTS_A_LAYOUT;

    /// Takes an object as far as it has a layout. `value` takes each value, for a field or for nobody.
    #[inline]
    pub(super) fn follow<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        mut value: impl FnMut(Option<usize>, &mut Cursor<'a>) -> Result<(), Reason>,
    ) -> Result<Followed, Reason> {
        let mut values = 0;
        while let Some(layout) = self.known.get(self.followed) {
            for place in &layout.places[values..] {
                if !input.take_exactly(&place.before) {
                    break;
                }
                value(place.field, input)?;
                values += 1;
            }
            if values == layout.places.len() && input.take_exactly(&layout.end) {
                self.count();
                self.known[self.followed].used = self.objects;
                return Ok(Followed { values, ended: true });
            }
            if !self.change(values, input) {
                break;
            }
        }
        Ok(Followed { values, ended: false })
    }

    /// Goes over to another layout that begins with the same `nth` places and goes on as the input does.
    #[inline(never)]
    fn change(&mut self, nth: usize, input: &Cursor<'_>) -> bool {
        let before = &self.known[self.followed].places[..nth];
        let fits = |(index, layout): (usize, &Layout)| {
            index != self.followed
                && layout.places.get(..nth) == Some(before)
                && input.begins(layout.places.get(nth).map_or(&layout.end, |place| &place.before))
        };
        let other = self.known.iter().enumerate().position(fits);
        self.followed = other.unwrap_or(self.followed);
        other.is_some()
    }

    /// Learns from an object that was good but had no layout to its end, unless many were learned of late.
    #[cold]
    pub(super) fn miss(&mut self, object: &[u8], fields: &FieldsByName) {
        self.count();
        let Some(credit) = self.credit.checked_sub(OBJECTS_A_LAYOUT) else { return };
        self.credit = credit;
        let Ok(Some(mut layout)) = Layout::of(object, fields) else { return };
        layout.used = self.objects;
        if self.known.len() < LAYOUTS_MAX {
            self.followed = self.known.len();
            self.known.push(layout);
        } else if let Some(oldest) = (0..self.known.len()).min_by_key(|&index| self.known[index].used) {
            self.followed = oldest;
            self.known[oldest] = layout;
        }
    }

    #[inline]
    fn count(&mut self) {
        self.objects += 1;
        self.credit = (self.credit + 1).min(Self::CREDIT_MAX);
    }
}

impl Layout {
    /// The layout of `object`, unless it is too large or has a field twice.
    fn of(object: &[u8], fields: &FieldsByName) -> Result<Option<Self>, Reason> {
        let mut scratch = Vec::new();
        let mut input = Cursor::new(object, false, &mut scratch);
        let mut places: Vec<Place> = Vec::new();
        let (mut start, mut literal_bytes) = (0, 0);
        input.expect(b'{')?;
        let mut more = !input.take(b'}');
        while more {
            let field = fields.get(input.key()?).copied();
            input.expect(b':')?;
            let before = &object[start..input.next_at()];
            literal_bytes += before.len();
            let twice = field.is_some() && places.iter().any(|place| place.field == field);
            if twice || places.len() == PLACES_MAX || literal_bytes > LITERAL_BYTES_MAX {
                return Ok(None);
            }
            places.push(Place { before: Literal::new(before), field });
            input.skip()?;
            start = input.at();
            more = input.take(b',');
            if !more {
                input.expect(b'}')?;
            }
        }
        let end = &object[start..];
        let small = literal_bytes + end.len() <= LITERAL_BYTES_MAX;
        Ok(small.then(|| Self { places, end: Literal::new(end), used: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> FieldsByName {
        [("a", 0), ("b", 1), ("c", 2)].map(|(name, index)| (name.as_bytes().into(), index)).into()
    }

    /// Reads an object as far as it follows a layout, and learns from it if that is not to its end.
    /// Gives how many values were found, and whether the end was.
    fn read(layouts: &mut Layouts, object: &str) -> (usize, bool) {
        let mut scratch = Vec::new();
        let mut input = Cursor::new(object.as_bytes(), false, &mut scratch);
        let followed = layouts.follow(&mut input, |_, input| input.skip()).unwrap();
        if !followed.ended {
            layouts.miss(object.as_bytes(), &fields());
        }
        (followed.values, followed.ended)
    }

    #[test]
    fn an_object_follows_the_layout_of_the_one_before() {
        let mut layouts = Layouts::default();
        let steps = [
            (r#"{"a":1,"x":"","b":[]}"#, (0, false)),
            (r#"{"a":-1e5,"x":{"a":[]},"b":"text"}"#, (3, true)),
            (r#"{"a":"more than sixteen bytes","x":null,"b":2} "#, (3, true)),
            (r#"{"a":1,"x":2,"b":3,"c":4}"#, (3, false)),
            (r#"{"a":1,"x":2,"b":3,"c":4}"#, (4, true)),
            (r#"{"a":1,"x":2,"b":3}"#, (3, true)),
            (r#"{"a":1, "x":2,"b":3}"#, (1, false)),
            (r#"{"a":1, "x":2,"b":3}"#, (3, true)),
            (r#"{}"#, (0, false)),
            (r#"{}"#, (0, true)),
            (r#"{"a":1,"x":2,"b":3}"#, (3, true)),
        ];
        for (object, followed) in steps {
            assert_eq!(read(&mut layouts, object), followed, "{object}");
        }
    }

    #[test]
    fn a_few_layouts_are_kept_at_once_and_the_latest_ones() {
        let mut layouts = Layouts::default();
        let shapes = [r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1,"c":3}"#, r#"{"a":1,"b":2,"x":3}"#, r#"{"c":1}"#];
        shapes.iter().for_each(|shape| assert!(!read(&mut layouts, shape).1));
        for turn in 0..100 {
            assert!(read(&mut layouts, shapes[turn * 7 % 4]).1, "turn {turn}");
        }
        assert!(!read(&mut layouts, r#"{"new":1}"#).1);
        assert!(read(&mut layouts, r#"{"new":1}"#).1);
        // The one that was not used for longest made room.
        let kept = shapes.map(|shape| knows(&layouts, shape));
        assert_eq!((kept, layouts.known.len()), ([false, true, true, true], LAYOUTS_MAX));
    }

    fn knows(layouts: &Layouts, object: &str) -> bool {
        let layout = Layout::of(object.as_bytes(), &fields()).unwrap().unwrap();
        layouts.known.iter().any(|known| known.places == layout.places && known.end == layout.end)
    }

    #[test]
    fn learning_is_rare_where_no_two_objects_are_alike() {
        let mut layouts = Layouts::default();
        let mut learned = 0;
        for turn in 0..3200 {
            let object = format!("{{\"a\":1,\"{turn}\":2}}");
            read(&mut layouts, &object);
            learned += u32::from(knows(&layouts, &object));
        }
        assert!((100..=100 + LAYOUTS_MAX as u32).contains(&learned), "{learned}");
    }

    #[test]
    fn what_is_too_large_or_has_a_field_twice_is_not_learned() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let long = |bytes: usize| format!("{{\"{}\":0}}", "k".repeat(bytes - 5));
        let cases = [
            (many(PLACES_MAX), true),
            (many(PLACES_MAX + 1), false),
            (long(LITERAL_BYTES_MAX), true),
            (long(LITERAL_BYTES_MAX + 1), false),
            (format!("{{\"a\":1{}}}", " ".repeat(LITERAL_BYTES_MAX)), false),
            (r#"{"a":1,"b":2,"a":3}"#.into(), false),
            (r#"{"a":1,"\u0061":3}"#.into(), false),
            (r#"{"x":1,"b":2,"x":3}"#.into(), true),
        ];
        for (object, learned) in cases {
            let layout = Layout::of(object.as_bytes(), &fields()).unwrap();
            assert_eq!(layout.is_some(), learned, "{object}");
        }
    }
}
