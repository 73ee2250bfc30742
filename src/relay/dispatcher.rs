//! Fan-out: every lane settles the batch, each at its own pace, none waiting for another's retries.

use futures_util::future::try_join_all;

use super::RelayError;
use super::lane::{Lane, Settled};
use crate::event::{Batch, Offset};

/// Lets all lanes settle `batch`, with whose poll all below `confirmed` was confirmed; comes back when the slowest has.
///
/// # Errors
/// The first error that ends the process; other lanes are then left where a crash would leave them.
pub async fn dispatch(lanes: &mut [Lane], batch: &Batch, confirmed: Offset) -> Result<Settled, RelayError> {
    let settled = try_join_all(lanes.iter_mut().map(|lane| lane.settle(batch, confirmed))).await?;
    Ok(if settled.contains(&Settled::CutShort) { Settled::CutShort } else { Settled::All })
}

/// What every lane has committed: the highest offset that may be sent upstream (I2).
pub fn least_checkpoint(lanes: &[Lane]) -> Offset {
    lanes.iter().map(Lane::committed).min().unwrap_or(Offset::START)
}
