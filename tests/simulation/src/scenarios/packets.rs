//! Packets that scripts wait for.

use menagerie_replication::Packet;

pub(super) const fn is_new_leader(packet: &Packet) -> bool {
    matches!(packet, Packet::NewLeader { .. })
}

pub(super) const fn is_up_to_date(packet: &Packet) -> bool {
    matches!(packet, Packet::UpToDate)
}

pub(super) const fn is_leader_info(packet: &Packet) -> bool {
    matches!(packet, Packet::LeaderInfo { .. })
}

pub(super) const fn is_ack(packet: &Packet) -> bool {
    matches!(packet, Packet::Ack { zxid } if zxid.counter() > 0)
}

pub(super) const fn is_ack_new_leader(packet: &Packet) -> bool {
    matches!(packet, Packet::Ack { zxid } if zxid.counter() == 0)
}

pub(super) const fn is_ack_epoch(packet: &Packet) -> bool {
    matches!(packet, Packet::AckEpoch { .. })
}

pub(super) const fn is_proposal(packet: &Packet) -> bool {
    matches!(packet, Packet::Proposal { .. })
}

pub(super) const fn is_diff(packet: &Packet) -> bool {
    matches!(packet, Packet::Diff { .. })
}

pub(super) const fn is_trunc(packet: &Packet) -> bool {
    matches!(packet, Packet::Trunc { .. })
}
