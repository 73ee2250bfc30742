//! Fan-out of direct mode: every lane settles the events, each at its own pace, none waiting for another's retries.

use futures_util::future::try_join_all;

use super::RelayError;
use super::lane::{Lane, Settled};
use crate::event::{Event, Offset};

/// Lets all lanes settle `events`; comes back when the slowest has. The rest is as in [`Lane::settle`].
///
/// # Errors
/// The first error that ends the process; other lanes are then left where a crash would leave them.
pub async fn dispatch(
    lanes: &mut [Lane],
    events: &[Event],
    complete: Offset,
    confirmed: Offset,
) -> Result<Settled, RelayError> {
    let settled = lanes.iter_mut().map(|lane| lane.settle(events, complete, confirmed));
    Ok(if try_join_all(settled).await?.contains(&Settled::CutShort) {
        Settled::CutShort
    } else {
        Settled::All
    })
}

/// What every lane has committed: the highest offset that may be sent upstream (I2).
pub fn least_checkpoint(lanes: &[Lane]) -> Offset {
    lanes.iter().map(Lane::committed).min().unwrap_or(Offset::START)
}
