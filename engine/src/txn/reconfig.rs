//! reconfig, as a server that is no ensemble answers it.
//!
//! Facts: ZooKeeper `PrepRequestProcessor.pRequest2Txn`: disabled, then the session, then "only a
//! leader does this".

use menagerie_wire::ErrorCode;
use menagerie_wire::txn::SubTxn;

use super::Judge;

pub(super) fn prepare<'a>(judge: &Judge<'_>) -> Result<SubTxn<'a>, ErrorCode> {
    if !judge.rules.reconfig {
        return Err(ErrorCode::ReconfigDisabled);
    }
    judge.session()?;
    Err(ErrorCode::Unimplemented)
}

#[cfg(test)]
mod tests {
    use menagerie_wire::SessionId;
    use menagerie_wire::proto::{Reconfig, Request};

    use super::super::testing::*;
    use super::*;

    #[test]
    fn disabled_comes_before_the_session_and_that_before_unimplemented() {
        let mut world = World::new();
        let mut check = |reconfig, session, code| {
            world.rules.reconfig = reconfig;
            world.session = session;
            let (joining, leaving, new_members) = (None, None, None);
            let request = Reconfig { joining, leaving, new_members, current_config_id: -1 };
            world.refuses(Request::Reconfig(request), code);
        };
        check(false, SessionId(99), ErrorCode::ReconfigDisabled);
        check(true, SessionId(99), ErrorCode::SessionExpired);
        check(true, SESSION, ErrorCode::Unimplemented);
    }
}
