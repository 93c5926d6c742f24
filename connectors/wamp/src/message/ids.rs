//! Ids: whole numbers from 1 to 2^53, so that every number of every language holds them.

use headwater_core::World;

/// The id of a session, a request, a publication, a subscription or a registration.
pub type Id = u64;

/// The greatest id.
pub const ID_MAX: Id = 1 << 53;

/// An id of global scope: a session's or a publication's. The chance that two are alike is that of a birthday.
pub fn random_id(world: &World) -> Id {
    // Multiplying keeps all ids equally likely, where a remainder would not.
    let wide = u128::from(world.random.next()) * u128::from(ID_MAX);
    (wide >> 64) as u64 + 1
}

/// Ids of router or session scope: 1, 2, 3 and so on, from the beginning again after 2^53.
#[derive(Debug, Clone, Default)]
pub struct Sequential {
    last: Id,
}

impl Sequential {
    /// The next id.
    pub fn issue(&mut self) -> Id {
        self.last = self.following();
        self.last
    }

    /// The id that was given last, 0 before the first.
    pub fn last(&self) -> Id {
        self.last
    }

    /// Takes the id that was given last back: it was not used.
    pub fn take_back(&mut self) {
        self.last = self.last.saturating_sub(1);
    }

    /// Notes an id that the other side gave, if it is the one that must come next.
    pub fn accept(&mut self, id: Id) -> bool {
        let expected = id == self.following();
        if expected {
            self.last = id;
        }
        expected
    }

    /// Notes an id that the other side gave out of turn.
    pub fn jump(&mut self, id: Id) {
        self.last = id;
    }

    fn following(&self) -> Id {
        if self.last == ID_MAX { 1 } else { self.last + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_follow_one_another() {
        let mut ids = Sequential::default();
        assert!(!ids.accept(0));
        assert!(!ids.accept(2));
        assert!(ids.accept(1));
        assert!(!ids.accept(1));
        assert!(ids.accept(2));
        ids.jump(ID_MAX);
        assert_eq!(ids.issue(), 1);
    }

    #[test]
    fn random_ids_are_in_range() {
        let world = World::real();
        for _ in 0..1_000 {
            let id = random_id(&world);
            assert!((1..=ID_MAX).contains(&id));
        }
    }
}
