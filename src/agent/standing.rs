//! Whether what is in force stands again after a boot of this host: until then
//! its network had better not come up.

use std::collections::HashSet;

use tokio::sync::oneshot;

use crate::model::ActionId;

#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether a boot has taken away what the kernel held.
    is_new_boot: bool,
    /// What has not been tried yet.
    open: HashSet<ActionId>,
    tell: Option<oneshot::Sender<()>>,
}

impl Standing {
    /// To be called before anything is put back.
    pub(super) fn begin(&mut self, is_new_boot: bool) {
        self.is_new_boot = is_new_boot;
    }

    /// Told once nothing is open any more.
    pub(super) fn told(&mut self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.tell = Some(tell);
        told
    }

    /// These are put back now.
    pub(super) fn waits_for(&mut self, ids: impl Iterator<Item = ActionId>) {
        if self.is_new_boot {
            self.open.extend(ids);
        }
        self.tell_if_done();
    }

    /// One was put back, or has ended, or cannot be put back now: another attempt
    /// is made in a while.
    pub(super) fn is_done(&mut self, id: ActionId) {
        if self.open.remove(&id) {
            self.tell_if_done();
        }
    }

    fn tell_if_done(&mut self) {
        if self.open.is_empty()
            && let Some(tell) = self.tell.take()
        {
            // A daemon that has waited long enough need not know.
            let _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;
    use crate::model::ActionId;

    fn ids() -> [ActionId; 2] {
        [1, 2].map(|number| ActionId::from_bytes([number; 16]))
    }

    #[test]
    fn after_a_boot_all_is_waited_for_that_is_put_back() {
        let mut standing = Standing::default();
        standing.begin(true);
        let mut told = standing.told();
        standing.waits_for(ids().into_iter());
        standing.is_done(ids()[0]);
        standing.is_done(ActionId::from_bytes([9; 16]));
        assert!(told.try_recv().is_err());
        standing.is_done(ids()[1]);
        assert_eq!(told.try_recv(), Ok(()));
    }

    #[test]
    fn after_another_start_nothing_is() {
        let mut standing = Standing::default();
        standing.begin(false);
        let mut told = standing.told();
        assert!(told.try_recv().is_err());
        standing.waits_for(ids().into_iter());
        assert_eq!(told.try_recv(), Ok(()));
    }
}
