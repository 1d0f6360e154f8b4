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
