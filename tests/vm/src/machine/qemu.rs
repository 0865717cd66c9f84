//! QEMU's command line.

use std::path::Path;
use std::process::Command;

use crate::architecture::Architecture;
use crate::image::Firmware;

/// The parts of a machine that QEMU's command line describes.
pub(super) struct Hardware<'a> {
    pub(super) architecture: Architecture,
    pub(super) disk: &'a Path,
    /// The memory, MiB.
    pub(super) memory: u32,
    pub(super) firmware: &'a Firmware,
    pub(super) tpm: &'a Path,
    pub(super) monitor: &'a Path,
    pub(super) channel: &'a Path,
    pub(super) console: &'a Path,
    /// The ports of the host's loopback interface that the guest can reach. It can reach nothing else.
    pub(super) forwarded: &'a [u16],
}

/// The guest's address for the forwarded ports. `image/system` gives it a name.
const HOST: &str = "10.0.2.100";

/// The monitor's name for the network card.
pub(super) const CARD: &str = "card";

/// The number of processors. A second one would save no time: firmware in system management mode waits for all of them.
const PROCESSORS: &str = "1";

impl Hardware<'_> {
    /// Returns QEMU's command. QEMU starts with the processor stopped, and exits if the machine resets itself.
    pub(super) fn command(&self) -> Command {
        let mut qemu = Command::new(self.architecture.emulator());
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-S"]);
        // Emulated on every host, because the measurements of a boot must not depend on the host.
        qemu.args(["-accel", "tcg", "-smp", PROCESSORS, "-m", &self.memory.to_string()]);
        qemu.args(self.architecture.options());
        self.add_storage(&mut qemu);
        self.add_tpm(&mut qemu);
        self.add_network(&mut qemu);
        self.add_ports(&mut qemu);
        qemu.args(["-device", "virtio-rng-pci"]);
        qemu
    }

    fn add_storage(&self, qemu: &mut Command) {
        let Firmware { code, variables } = self.firmware;
        qemu.arg("-drive").arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={}", code.display()));
        qemu.arg("-drive").arg(format!("if=pflash,unit=1,format=raw,file={}", variables.display()));
        qemu.arg("-drive").arg(format!("if=none,id=disk,format=raw,file={}", self.disk.display()));
        qemu.args(["-device", "nvme,drive=disk,serial=pawl"]);
    }

    fn add_tpm(&self, qemu: &mut Command) {
        qemu.arg("-chardev").arg(format!("socket,id=swtpm,path={}", self.tpm.display()));
        qemu.args(["-tpmdev", "emulator,id=tpm,chardev=swtpm"]);
    }

    fn add_network(&self, qemu: &mut Command) {
        let mut network = "user,id=net,restrict=on".to_owned();
        for port in self.forwarded {
            // One process per connection. The form without a command serves one connection and then hangs.
            network += &format!(",guestfwd=tcp:{HOST}:{port}-cmd:socat STDIO TCP:127.0.0.1:{port}");
        }
        qemu.arg("-netdev").arg(network);
        qemu.arg("-device").arg(format!("virtio-net-pci,id={CARD},netdev=net,romfile="));
    }

    fn add_ports(&self, qemu: &mut Command) {
        qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", self.monitor.display()));
        qemu.arg("-serial").arg(format!("file:{}", self.console.display()));
        qemu.args(["-device", "virtio-serial-pci"]);
        qemu.arg("-chardev")
            .arg(format!("socket,id=channel,path={},server=on,wait=off", self.channel.display()));
        qemu.args(["-device", "virtserialport,chardev=channel,name=org.pawl.test"]);
    }
}
