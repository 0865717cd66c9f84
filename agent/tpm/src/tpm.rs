use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::{
    Attestation, Binding, Clock, Counter, CounterTest, Credential, EndorsementKind, Error, Identity, KeyBlob,
    LeaseGrant, NvDigest, Options, PairingKeys, Tcti,
    action::MAX_ACTIONS,
    device::Device,
    pins::{Pinned, Pins},
    queue::{Lane, Queue},
};

/// A handle to the thread that owns the TPM. Clones share it.
///
/// When the last one is dropped the thread finishes what is queued, gives its slots in the TPM back and ends.
/// A future that is dropped does not take its work back.
#[derive(Clone)]
pub struct Tpm {
    thread: Arc<Thread>,
}

impl Tpm {
    /// Opens the TPM on a thread of its own. Blocks for the few milliseconds that this takes.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::CounterHandle`], or what the TPM answers when asked for the counter.
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
        Ok(Self { thread: Arc::new(Thread { queue, tcti, actions, pins, handle: Mutex::new(Some(handle)) }) })
    }

    /// Where the TPM was found.
    pub fn tcti(&self) -> &Tcti {
        &self.thread.tcti
    }

    /// Finishes what is queued, gives the slots in the TPM back and ends the thread; blocks for that time. Other
    /// clones get [`Error::Stopped`] from now on.
    pub fn close(self) {
        self.thread.queue.close();
        let handle = self.thread.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A thread that panicked has nothing to finish.
            let _ = handle.join();
        }
    }

    /// Pins the storage root key of a pairing by its name: no session is salted to another one from now on.
    /// [`Tpm::create_keys`] pins the one that it used.
    pub fn pin_storage_key(&self, name: &[u8]) {
        self.thread.pins.set(Pinned::StorageKey, Some(name.to_vec()));
    }

    /// Pins the endorsement key by its name. Where none is pinned, [`Tpm::identity`] pins the one that it finds.
    pub fn pin_endorsement_key(&self, name: &[u8]) {
        self.thread.pins.set(Pinned::EndorsementKey, Some(name.to_vec()));
    }

    /// The endorsement key, its certificates, and the attestation key. Nothing of it is proof: the control plane
    /// checks it by [`Tpm::activate_credential`].
    ///
    /// # Errors
    /// [`Error::EndorsementAuth`] where the endorsement hierarchy has an authorization value.
    pub async fn identity(&self) -> Result<Identity, Error> {
        self.ask(Lane::Ordinary, Device::identity).await
    }

    /// Returns whether the TPM has a certificate of this endorsement key that the owner alone may read. Then nothing tells
    /// the key from one that something on the bus put in its place, until one of the two is pinned.
    ///
    /// # Errors
    /// What the TPM says.
    pub async fn certificate_needs_owner(&self, kind: EndorsementKind) -> Result<bool, Error> {
        self.ask(Lane::Ordinary, move |device| device.certificate_needs_owner(kind)).await
    }

    /// The epoch counter; `None` where it is undefined or was never incremented.
    ///
    /// # Errors
    /// [`Error::CounterTaken`] where the index is somebody else's.
    pub async fn counter(&self) -> Result<Option<Counter>, Error> {
        self.ask(Lane::Ordinary, Device::counter).await
    }

    /// The epoch counter, defined where it is undefined and incremented once where it never was. A counter that
    /// is defined anew starts above every value that any counter of this TPM ever had.
    ///
    /// # Errors
    /// [`Error::CounterTaken`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout or NV space.
    pub async fn provision_counter(&self) -> Result<Counter, Error> {
        self.ask(Lane::Ordinary, Device::provision_counter).await
    }

    /// Tests that a counter which is removed and defined anew starts above every value that it had: on that revocation
    /// rests. The test uses a free NV index beside the epoch counter, writes NV [`CounterTest::WRITES`] times, and
    /// removes what it defined.
    ///
    /// # Errors
    /// [`Error::NoSpareIndex`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout or NV space.
    pub async fn test_counter(&self) -> Result<CounterTest, Error> {
        self.ask(Lane::Ordinary, Device::test_counter).await
    }

    /// Ends the epoch with a single TPM2_NV_Increment, ahead of everything queued. When this returns `Ok`, every
    /// key of the epoch is dead, wherever copies of it lie.
    ///
    /// # Errors
    /// [`Error::CounterAbsent`] where the counter is gone: the keys of every epoch are dead then too.
    pub async fn revoke(&self) -> Result<(), Error> {
        self.ask(Lane::Urgent, Device::revoke).await
    }

    /// Removes the epoch counter, which is all that is kept in the TPM; whether there was one. Every key of every
    /// epoch is dead then. A counter that is defined anew starts above every value that this one ever had.
    ///
    /// # Errors
    /// [`Error::CounterTaken`], [`Error::OwnerAuth`], and [`Error::Tpm`] of class lockout.
    pub async fn deprovision(&self) -> Result<bool, Error> {
        self.ask(Lane::Ordinary, Device::deprovision).await
    }

    /// Makes the keys of a pairing. The vault's 32 bytes are made here, from the TPM's and the operating system's
    /// randomness, and are to be had by [`Tpm::unseal`] alone.
    ///
    /// # Errors
    /// [`Error::Epoch`] where the counter has moved on, [`Error::OwnerAuth`], [`Error::Malformed`].
    pub async fn create_keys(&self, binding: Binding) -> Result<PairingKeys, Error> {
        self.ask(Lane::Ordinary, move |device| device.create_keys(&binding)).await
    }

    /// Opens a credential that was made for this TPM's endorsement key and attestation key
    /// (TPM2_ActivateCredential). The secret does not cross the bus in the clear.
    ///
    /// # Errors
    /// [`Error::Tpm`] of class input for a credential that was made for other keys.
    pub async fn activate_credential(&self, credential: Credential) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.ask(Lane::Ordinary, move |device| device.activate_credential(&credential)).await
    }

    /// The attestation key's word that `key` is in this TPM, with its name (TPM2_Certify).
    ///
    /// # Errors
    /// [`Error::Tpm`] of class input for a key that another TPM made.
    pub async fn certify(&self, key: &KeyBlob, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let key = key.clone();
        self.ask(Lane::Ordinary, move |device| device.certify(&key, qualifying)).await
    }

    /// The attestation key's word on the counter's value (TPM2_NV_Certify).
    ///
    /// # Errors
    /// [`Error::CounterAbsent`].
    pub async fn certify_counter(&self, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        self.ask(Lane::Ordinary, move |device| device.certify_counter(qualifying)).await
    }

    /// The NV indices that are defined, of these.
    ///
    /// # Errors
    /// What the TPM answers.
    pub async fn defined_nv_indices(&self, handles: Vec<u32>) -> Result<Vec<u32>, Error> {
        self.ask(Lane::Ordinary, move |device| device.defined_nv_indices(&handles)).await
    }

    /// An NV index of at most 64 bytes; `None` where it is undefined, was never written since the last reset, is longer, or
    /// is not for anybody to read.
    ///
    /// # Errors
    /// What the TPM answers.
    pub async fn nv_digest(&self, handle: u32) -> Result<Option<NvDigest>, Error> {
        self.ask(Lane::Ordinary, move |device| device.nv_digest(handle)).await
    }

    /// The attestation key's word on the contents of an NV index that anybody may read (TPM2_NV_Certify). They are those
    /// that [`Tpm::nv_digest`] has read, if the attestation says so.
    ///
    /// # Errors
    /// [`Error::Tpm`] of class handle where the index is undefined.
    pub async fn certify_nv_digest(&self, handle: u32, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        self.ask(Lane::Ordinary, move |device| device.certify_nv_digest(handle, qualifying)).await
    }

    /// The attestation key's word on the PCRs (TPM2_Quote). One TPM command, once the attestation key is loaded.
    ///
    /// # Errors
    /// What the TPM answers.
    pub async fn quote(&self, selection: &PcrSelection, qualifying: [u8; 32]) -> Result<Attestation, Error> {
        let selection = selection.clone();
        self.ask(Lane::Ordinary, move |device| device.quote(&selection, qualifying)).await
    }

    /// The bank to quote and to be leased by: sha256 where it is active, else sha384.
    ///
    /// # Errors
    /// [`Error::Banks`] where neither is.
    pub async fn pcr_bank(&self) -> Result<HashAlgorithm, Error> {
        self.ask(Lane::Ordinary, Device::pcr_bank).await
    }

    /// The PCRs, all of one moment. Nobody signs them: compare with a quote.
    ///
    /// # Errors
    /// [`Error::Pcrs`] where a bank is not there or the PCRs kept changing.
    pub async fn read_pcrs(&self, selection: &PcrSelection) -> Result<PcrValues, Error> {
        let selection = selection.clone();
        self.ask(Lane::Ordinary, move |device| device.read_pcrs(&selection)).await
    }

    /// The TPM's clock.
    ///
    /// # Errors
    /// What the TPM answers.
    pub async fn clock(&self) -> Result<Clock, Error> {
        self.ask(Lane::Ordinary, Device::clock).await
    }

    /// Signs a SHA-256 digest with the link key of `epoch`; r and s of 32 bytes each.
    ///
    /// # Errors
    /// [`Error::Epoch`] where the epoch has moved on.
    pub async fn sign_with_link(
        &self,
        key: &KeyBlob,
        epoch: u64,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let key = key.clone();
        self.ask(Lane::Ordinary, move |device| device.sign_with_link(&key, epoch, digest)).await
    }

    /// The same for a TLS library, which cannot await. It may be called on a runtime's thread, and blocks it.
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

    /// Signs a SHA-256 digest with the device key under a lease; r and s of 32 bytes each.
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

    /// The vault's 32 bytes, under a lease. They do not cross the bus in the clear.
    ///
    /// # Errors
    /// [`Error::Lease`] with the step that the TPM refused.
    pub async fn unseal(&self, vault: &KeyBlob, lease: &LeaseGrant) -> Result<Zeroizing<[u8; 32]>, Error> {
        let (vault, lease) = (vault.clone(), lease.clone());
        self.ask(Lane::Ordinary, move |device| device.unseal(&vault, &lease)).await
    }

    /// Has the TPM check a lease without using anything.
    ///
    /// # Errors
    /// [`Error::Lease`] with the step that the TPM refused.
    pub async fn check_lease(&self, lease: &LeaseGrant) -> Result<(), Error> {
        let lease = lease.clone();
        self.ask(Lane::Ordinary, move |device| device.check_lease(&lease)).await
    }

    /// Waits until one more action may be under way.
    pub(crate) async fn action_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        // Nobody closes it.
        self.thread.actions.clone().acquire_owned().await.map_err(|_| Error::Stopped)
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut Device) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // Who no longer waits does not get an answer; the work is done all the same.
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
        // `start` waits for it, and has nothing to wait for otherwise.
        let _ = opened.send(Ok(device.tcti().clone()));
        let mut device = Some(device);
        while let Some(job) = self.queue.pop() {
            self.serve(&mut device, job);
        }
    }

    /// A connection that broke is not used again: the next job opens another.
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
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
