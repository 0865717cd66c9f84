use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::thread::JoinHandle;

use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues};
use pawl_proto::message::Credential;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::action::MAX_ACTIONS;
use crate::device::Device;
use crate::pins::{Pinned, Pins};
use crate::queue::{Lane, Queue};
use crate::{
    Attestation, Binding, Clock, Counter, CounterTest, EndorsementKind, Error, Identity, KeyBlob, LeaseGrant,
    NvDigest, Options, PairingKeys, Properties, Tcti,
};

/// A handle to the thread that owns the TPM. Clones share the thread.
///
/// When the last handle is dropped, the thread finishes the queued work, frees its slots in the TPM and ends.
/// Dropping a future does not cancel its work.
#[derive(Clone)]
pub struct Tpm {
    thread: Arc<Thread>,
}

impl Tpm {
    /// Opens the TPM on a thread of its own. Blocks for the few milliseconds that this takes.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::OtherTpm`]; [`Error::CounterHandle`]; [`Error::Tpm`] if the TPM refuses
    /// to look up the counter.
    pub fn start(options: Options) -> Result<Self, Error> {
        if !(0x0180_0000..=0x01bf_ffff).contains(&options.counter) {
            return Err(Error::CounterHandle { handle: options.counter });
        }
        let queue = Arc::new(Queue::new());
        let (opened, result) = mpsc::sync_channel(1);
        let pins = Arc::new(Pins::default());
        let worker = Worker { queue: queue.clone(), options, pins: pins.clone() };
        let handle = thread::Builder::new()
            .name("pawl-tpm".into())
            .spawn(move || worker.run(&opened))
            .map_err(|_| Error::Stopped)?;
        let tcti = result.recv().unwrap_or(Err(Error::Stopped))?;
        let actions = Arc::new(Semaphore::new(MAX_ACTIONS));
        let scratch = Arc::new(Semaphore::new(1));
        let handle = Mutex::new(Some(handle));
        Ok(Self { thread: Arc::new(Thread { queue, tcti, actions, scratch, pins, handle }) })
    }

    /// Returns where the TPM was found.
    pub fn tcti(&self) -> &Tcti {
        &self.thread.tcti
    }

    /// Finishes the queued work, frees the slots in the TPM and ends the thread; blocks until then. Other clones
    /// get [`Error::Stopped`] from now on.
    pub fn close(self) {
        self.thread.queue.close();
        let handle = self.thread.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A thread that panicked has nothing left to finish.
            let _ = handle.join();
        }
    }

    /// Pins the storage root key of a pairing by its name: from now on no session is salted to another one.
    /// [`Tpm::create_keys`] pins the key that it used.
    pub fn pin_storage_key(&self, name: &[u8]) {
        self.thread.pins.set(Pinned::StorageKey, Some(name.to_vec()));
    }

    /// Pins the endorsement key by its name. Without a pin, [`Tpm::identity`] pins the key that it finds.
    pub fn pin_endorsement_key(&self, name: &[u8]) {
        self.thread.pins.set(Pinned::EndorsementKey, Some(name.to_vec()));
    }

    /// Returns the endorsement key, its certificates, and the attestation key. None of it is proof: the control
    /// plane verifies it through [`Tpm::activate_credential`].
    ///
    /// # Errors
    /// [`Error::EndorsementAuth`] if the endorsement hierarchy has an authorization value.
    pub async fn identity(&self) -> Result<Identity, Error> {
        self.ask(Lane::Ordinary, Device::identity).await
    }

    /// Returns whether the certificate of this endorsement key can be read only with the owner's authorization.
    /// If so, nothing distinguishes the key from one that an attacker on the bus substitutes, until a name is
    /// pinned.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn certificate_needs_owner(&self, kind: EndorsementKind) -> Result<bool, Error> {
        self.ask(Lane::Ordinary, move |device| device.certificate_needs_owner(kind)).await
    }

    /// Returns the epoch counter; `None` if it is undefined or was never incremented.
    ///
    /// # Errors
    /// [`Error::CounterTaken`] if the index belongs to another program.
    pub async fn counter(&self) -> Result<Option<Counter>, Error> {
        self.ask(Lane::Ordinary, Device::counter).await
    }

    /// Returns the epoch counter. Defines it if it is undefined, and increments it once if it never was. A
    /// counter that is defined anew starts above every value that any counter of this TPM ever had.
    ///
    /// # Errors
    /// [`Error::CounterTaken`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout or NV space.
    pub async fn provision_counter(&self) -> Result<Counter, Error> {
        self.ask(Lane::Ordinary, Device::provision_counter).await
    }

    /// Tests that a counter that is removed and defined anew starts above every value that it had; revocation
    /// relies on that. The test uses a free NV index above the epoch counter, writes NV [`CounterTest::WRITES`]
    /// times, and removes what it defined.
    ///
    /// # Errors
    /// [`Error::NoSpareIndex`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout or NV space.
    pub async fn test_counter(&self) -> Result<CounterTest, Error> {
        let _alone = self.scratch_permit().await?;
        self.ask(Lane::Ordinary, Device::test_counter).await
    }

    /// Ends the epoch with a single TPM2_NV_Increment, ahead of all queued work. After `Ok`, no key of the epoch
    /// works any more, and no copy of it.
    ///
    /// # Errors
    /// [`Error::CounterAbsent`] if the counter is undefined; then the keys of every epoch are unusable too.
    pub async fn revoke(&self) -> Result<(), Error> {
        self.ask(Lane::Urgent, Device::revoke).await
    }

    /// Removes the epoch counter, the only thing that Pawl keeps in the TPM, and returns whether there was one.
    /// All keys of all epochs become unusable. A counter that is defined anew starts above every value that this
    /// one ever had.
    ///
    /// # Errors
    /// [`Error::CounterTaken`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout.
    pub async fn deprovision(&self) -> Result<bool, Error> {
        self.ask(Lane::Ordinary, Device::deprovision).await
    }

    /// Creates the keys of a pairing. The vault's 32 bytes are drawn here, from the randomness of the TPM and of
    /// the operating system; only [`Tpm::unseal`] returns them.
    ///
    /// # Errors
    /// [`Error::Epoch`] if the counter has moved on, [`Error::OwnerAuth`], [`Error::Malformed`].
    pub async fn create_keys(&self, binding: Binding) -> Result<PairingKeys, Error> {
        self.ask(Lane::Ordinary, move |device| device.create_keys(&binding)).await
    }

    /// Opens a credential for this TPM's endorsement key and attestation key (TPM2_ActivateCredential) and
    /// returns the secret in it. The secret crosses the bus encrypted.
    ///
    /// # Errors
    /// [`Error::Tpm`] of class input if the credential is for other keys.
    pub async fn activate_credential(&self, credential: Credential) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.ask(Lane::Ordinary, move |device| device.activate_credential(&credential)).await
    }

    /// Returns the attestation key's statement that `key` is in this TPM, with the key's name (TPM2_Certify).
    ///
    /// # Errors
    /// [`Error::Tpm`] of class input if another TPM made the key.
    pub async fn certify(&self, key: &KeyBlob, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let key = key.clone();
        self.ask(Lane::Ordinary, move |device| device.certify(&key, qualifying)).await
    }

    /// Returns the attestation key's statement of the counter's value (TPM2_NV_Certify).
    ///
    /// # Errors
    /// [`Error::CounterAbsent`] if the counter is undefined.
    pub async fn certify_counter(&self, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        self.ask(Lane::Ordinary, move |device| device.certify_counter(qualifying)).await
    }

    /// Returns those of the given NV indices that are defined.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn defined_nv_indices(&self, handles: Vec<u32>) -> Result<Vec<u32>, Error> {
        self.ask(Lane::Ordinary, move |device| device.defined_nv_indices(&handles)).await
    }

    /// Reads an NV index of at most 64 bytes. Returns `None` if it is undefined, longer, not written since the
    /// last reset, or not readable by everybody.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn nv_digest(&self, handle: u32) -> Result<Option<NvDigest>, Error> {
        self.ask(Lane::Ordinary, move |device| device.nv_digest(handle)).await
    }

    /// Returns the attestation key's statement of the contents of an NV index that anybody may read
    /// (TPM2_NV_Certify). Compare with what [`Tpm::nv_digest`] read: the contents may have changed since.
    ///
    /// # Errors
    /// [`Error::Tpm`] of class handle if the index is undefined.
    pub async fn certify_nv_digest(&self, handle: u32, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        self.ask(Lane::Ordinary, move |device| device.certify_nv_digest(handle, qualifying)).await
    }

    /// Returns the attestation key's statement of the PCRs (TPM2_Quote). Takes one TPM command once the
    /// attestation key is loaded.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn quote(&self, selection: &PcrSelection, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let selection = selection.clone();
        self.ask(Lane::Ordinary, move |device| device.quote(&selection, qualifying)).await
    }

    /// Returns the PCR bank for quotes and leases: sha256 if it is active, else sha384.
    ///
    /// # Errors
    /// [`Error::Banks`] if neither is active.
    pub async fn pcr_bank(&self) -> Result<HashAlgorithm, Error> {
        self.ask(Lane::Ordinary, Device::pcr_bank).await
    }

    /// Reads the PCRs, all at one moment. The values are not signed: compare them with a quote.
    ///
    /// # Errors
    /// [`Error::Pcrs`] if a bank does not exist or the PCRs kept changing.
    pub async fn read_pcrs(&self, selection: &PcrSelection) -> Result<PcrValues, Error> {
        let selection = selection.clone();
        self.ask(Lane::Ordinary, move |device| device.read_pcrs(&selection)).await
    }

    /// Reads the TPM's clock.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn clock(&self) -> Result<Clock, Error> {
        self.ask(Lane::Ordinary, Device::clock).await
    }

    /// Returns what the TPM says of itself. Unsigned.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn properties(&self) -> Result<Properties, Error> {
        self.ask(Lane::Ordinary, Device::properties).await
    }

    /// Signs a SHA-256 digest with the link key of `epoch`. Returns r ‖ s, 32 bytes each.
    ///
    /// # Errors
    /// [`Error::Epoch`] if the epoch has ended.
    pub async fn sign_with_link(
        &self,
        key: &KeyBlob,
        epoch: u64,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let key = key.clone();
        self.ask(Lane::Ordinary, move |device| device.sign_with_link(&key, epoch, digest)).await
    }

    /// Signs as [`Tpm::sign_with_link`] does, for a TLS library, which cannot await. Blocks the calling thread,
    /// which may be one of an async runtime.
    ///
    /// # Errors
    /// As [`Tpm::sign_with_link`].
    pub fn sign_with_link_blocking(
        &self,
        key: &KeyBlob,
        epoch: u64,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let key = key.clone();
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit(
            Lane::Ordinary,
            move |device| device.sign_with_link(&key, epoch, digest),
            move |result| drop(reply.send(result)),
        )?;
        answer.recv().unwrap_or(Err(Error::Stopped))
    }

    /// Signs a SHA-256 digest with the device key under a lease. Returns r ‖ s, 32 bytes each.
    ///
    /// # Errors
    /// [`Error::Lease`] with the step that the TPM refused.
    pub async fn sign_with_device(
        &self,
        key: &KeyBlob,
        lease: &LeaseGrant,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let (key, lease) = (key.clone(), lease.clone());
        self.ask(Lane::Ordinary, move |device| device.sign_with_device(&key, &lease, digest)).await
    }

    /// Returns the vault's 32 bytes, under a lease. They cross the bus encrypted.
    ///
    /// # Errors
    /// [`Error::Lease`] with the step that the TPM refused.
    pub async fn unseal(&self, vault: &KeyBlob, lease: &LeaseGrant) -> Result<Zeroizing<[u8; 32]>, Error> {
        let (vault, lease) = (vault.clone(), lease.clone());
        self.ask(Lane::Ordinary, move |device| device.unseal(&vault, &lease)).await
    }

    /// Has the TPM check a lease without using a key.
    ///
    /// # Errors
    /// [`Error::Lease`] with the step that the TPM refused.
    pub async fn check_lease(&self, lease: &LeaseGrant) -> Result<(), Error> {
        let lease = lease.clone();
        self.ask(Lane::Ordinary, move |device| device.check_lease(&lease)).await
    }

    /// Waits until fewer than [`crate::action::MAX_ACTIONS`] actions are open.
    pub(crate) async fn action_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        // The semaphore is never closed.
        self.thread.actions.clone().acquire_owned().await.map_err(|_| Error::Stopped)
    }

    /// Waits until no other test of the TPM is under way.
    pub(crate) async fn scratch_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.thread.scratch.clone().acquire_owned().await.map_err(|_| Error::Stopped)
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut Device) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // If the caller has dropped the future, its answer is dropped; the work is done all the same.
        self.submit(lane, work, move |result| drop(reply.send(result)))?;
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    pub(crate) fn submit<T>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut Device) -> Result<T, Error> + Send + 'static,
        reply: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.thread.queue.push(lane, Box::new(move |device| reply(device.and_then(work))))
    }
}

type Job = Box<dyn FnOnce(Result<&mut Device, Error>) + Send>;

struct Thread {
    queue: Arc<Queue<Job>>,
    tcti: Tcti,
    actions: Arc<Semaphore>,
    /// One test of the TPM at a time: the next one removes what an earlier one left.
    scratch: Arc<Semaphore>,
    pins: Arc<Pins>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Worker {
    queue: Arc<Queue<Job>>,
    options: Options,
    pins: Arc<Pins>,
}

impl Worker {
    fn run(self, opened: &mpsc::SyncSender<Result<Tcti, Error>>) {
        let device = match Device::open(&self.options, &self.pins) {
            Ok(device) => device,
            Err(error) => return drop(opened.send(Err(error))),
        };
        // `start` waits for this message, so its receiver exists.
        let _ = opened.send(Ok(device.tcti().clone()));
        let mut device = Some(device);
        while let Some(job) = self.queue.pop() {
            self.serve(&mut device, job);
        }
    }

    /// Does one job. Opens the TPM again if the connection was lost.
    fn serve(&self, device: &mut Option<Device>, job: Job) {
        if device.as_ref().is_some_and(Device::is_broken) {
            *device = None;
        }
        if let Some(device) = device {
            return job(Ok(device));
        }
        match Device::open(&self.options, &self.pins) {
            Ok(new) => job(Ok(device.insert(new))),
            Err(error) => job(Err(error)),
        }
    }
}

impl Drop for Worker {
    /// Drops all queued jobs, so that their callers get [`Error::Stopped`] however the thread ends.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
