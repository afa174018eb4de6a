//! The four bucket widths, and how a window is put together from them.

/// A bucket width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    TenSeconds,
    Minute,
    Hour,
    /// Made from hours when they are over, and kept as long as they are.
    Day,
}

impl Level {
    /// From the finest.
    pub(super) const ALL: [Self; 4] = [Self::TenSeconds, Self::Minute, Self::Hour, Self::Day];
    /// Those that a flush adds to, each with a retention of its own.
    pub(super) const FLUSHED: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::Hour];

    /// Seconds of a bucket.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// What its tables' names end in.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }
}

/// The start of the bucket that a second falls into.
pub(super) const fn floor(second: u64, width: u64) -> u64 {
    second - second % width
}

/// Which rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// From which second on the rows of each of [`Level::FLUSHED`] are kept: whole hours,
    /// the finest last.
    pub(super) from: [u64; 3],
    /// The hour up to which days have what hours have.
    pub(super) rolled_to: u64,
}

impl Kept {
    pub(super) const fn of(self, level: Level) -> u64 {
        match level {
            Level::Day => self.from[Level::Hour as usize],
            level => self.from[level as usize],
        }
    }

    /// The finest level that is kept at a second.
    pub(super) fn finest(self, second: u64) -> Level {
        let mut kept = Level::FLUSHED.into_iter();
        let kept = kept.find(|level| self.of(*level) <= second);
        kept.unwrap_or(Level::Hour)
    }

    /// The width of the finest bucket that is kept around a second.
    pub(super) fn width_at(self, second: u64) -> u64 {
        self.finest(second).width()
    }

    /// Whether a day that begins then is whole.
    const fn has_day(self, start: u64) -> bool {
        self.of(Level::Hour) <= start && start + Level::Day.width() <= self.rolled_to
    }

    /// The start of the finest bucket that is kept around a second.
    pub(super) fn snap(self, second: u64) -> u64 {
        floor(second, self.finest(second).width())
    }
}

/// Buckets of a level, in `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) level: Level,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The fewest buckets that make up `[start, end)`, whose ends are snapped. With a step,
/// none of them reaches over one of its points, where finer ones are kept.
pub(super) fn cover(kept: Kept, start: u64, end: u64, step: Option<u64>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = start;
    while at < end {
        let finest = kept.finest(at);
        let fits = |level: &Level| {
            let width = level.width();
            let in_step = step.is_none_or(|step| (at - start) % step + width <= step);
            let is_there = *level != Level::Day || kept.has_day(at);
            is_there && at.is_multiple_of(width) && at + width <= end && in_step
        };
        let coarser = Level::ALL.into_iter().rev();
        let level = coarser
            .filter(|level| level.width() > finest.width())
            .find(fits)
            .unwrap_or(finest);
        let next = at + level.width();
        match pieces.last_mut() {
            Some(last) if last.level == level => last.end = next,
            _ => pieces.push(Piece {
                level,
                start: at,
                end: next,
            }),
        }
        at = next;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_takes_hours_inside_and_fine_buckets_at_its_ends() {
        let kept = |rolled_to| Kept {
            from: [0; 3],
            rolled_to,
        };
        let plain = |kept, start, end| -> Vec<_> {
            let pieces = cover(kept, start, end, None);
            let plain = pieces.iter().map(|p| (p.level.width(), p.start, p.end));
            plain.collect()
        };
        assert_eq!(
            plain(kept(0), 3580, 10_870),
            [
                (10, 3580, 3600),
                (3600, 3600, 10_800),
                (60, 10_800, 10_860),
                (10, 10_860, 10_870)
            ]
        );
        // The second day is not over.
        assert_eq!(
            plain(kept(2 * 86_400 - 3600), 0, 86_400 + 7200),
            [(86_400, 0, 86_400), (3600, 86_400, 86_400 + 7200)]
        );
    }

    proptest! {
        #[test]
        fn pieces_tile_the_window_with_buckets_that_are_kept(
            hours in (0u64..40, 0u64..40, 0u64..40),
            rolled_hours in 0u64..120,
            start in 0u64..200_000,
            length in 0u64..200_000,
            step in proptest::option::of(1u64..500),
        ) {
            let mut hours = [hours.0, hours.1, hours.2];
            hours.sort_unstable_by(|a, b| b.cmp(a));
            let kept = Kept {
                from: hours.map(|hour| hour * 3600),
                rolled_to: rolled_hours * 3600,
            };
            let (start, end) = (kept.snap(start), kept.snap(start + length));
            let step = step.map(|step| step * 10);
            let mut at = start;
            for piece in cover(kept, start, end, step) {
                prop_assert_eq!(piece.start, at);
                let width = piece.level.width();
                prop_assert!(piece.start % width == 0 && piece.end % width == 0);
                let is_kept = kept.of(piece.level) <= piece.start;
                prop_assert!(is_kept || piece.level == Level::Hour);
                let is_whole = piece.end <= kept.rolled_to;
                prop_assert!(is_whole || piece.level != Level::Day);
                at = piece.end;
            }
            prop_assert_eq!(at, end.max(start));
        }
    }
}
