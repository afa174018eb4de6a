//! The three bucket widths, and how a window is put together from them.

/// A bucket width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    TenSeconds,
    Minute,
    Hour,
}

impl Level {
    /// From the finest.
    pub(super) const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::Hour];

    /// Seconds of a bucket.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// What its tables' names end in.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }
}

/// The start of the bucket that a second falls into.
pub(super) const fn floor(second: u64, width: u64) -> u64 {
    second - second % width
}

/// From which second on the rows of each level are kept: whole hours, the finest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptFrom(pub(super) [u64; 3]);

impl KeptFrom {
    pub(super) const fn of(self, level: Level) -> u64 {
        self.0[level as usize]
    }

    /// The finest level that is kept at a second.
    fn finest(self, second: u64) -> Level {
        let kept = Level::ALL.into_iter().find(|l| self.of(*l) <= second);
        kept.unwrap_or(Level::Hour)
    }

    /// The width of the finest bucket that is kept around a second.
    pub(super) fn width_at(self, second: u64) -> u64 {
        self.finest(second).width()
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
pub(super) fn cover(kept: KeptFrom, start: u64, end: u64, step: Option<u64>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = start;
    while at < end {
        let finest = kept.finest(at);
        let fits = |level: &Level| {
            let width = level.width();
            let in_step = step.is_none_or(|step| (at - start) % step + width <= step);
            at.is_multiple_of(width) && at + width <= end && in_step
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
        let kept = KeptFrom([0, 0, 0]);
        let pieces = cover(kept, 3580, 10_870, None);
        let plain: Vec<_> = pieces
            .iter()
            .map(|p| (p.level.width(), p.start, p.end))
            .collect();
        assert_eq!(
            plain,
            [
                (10, 3580, 3600),
                (3600, 3600, 10_800),
                (60, 10_800, 10_860),
                (10, 10_860, 10_870)
            ]
        );
    }

    proptest! {
        #[test]
        fn pieces_tile_the_window_with_buckets_that_are_kept(
            hours in (0u64..40, 0u64..40, 0u64..40),
            start in 0u64..200_000,
            length in 0u64..200_000,
            step in proptest::option::of(1u64..500),
        ) {
            let mut hours = [hours.0, hours.1, hours.2];
            hours.sort_unstable_by(|a, b| b.cmp(a));
            let kept = KeptFrom(hours.map(|hour| hour * 3600));
            let (start, end) = (kept.snap(start), kept.snap(start + length));
            let step = step.map(|step| step * 10);
            let mut at = start;
            for piece in cover(kept, start, end, step) {
                prop_assert_eq!(piece.start, at);
                let width = piece.level.width();
                prop_assert!(piece.start % width == 0 && piece.end % width == 0);
                let is_kept = kept.of(piece.level) <= piece.start;
                prop_assert!(is_kept || piece.level == Level::Hour);
                at = piece.end;
            }
            prop_assert_eq!(at, end.max(start));
        }
    }
}
