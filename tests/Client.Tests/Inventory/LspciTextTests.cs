using CsCheck;
using Fleet.Client.Inventory;

namespace Fleet.Client.Tests.Inventory;

[Trait("tier", "fast")]
public sealed class LspciTextTests
{
    private const string Server = """
        00:01.0 PCI bridge [0604]: Example Root Port [8086:347a] (rev 04) (prog-if 00 [Normal decode])
        	Subsystem: Example [8086:0000]
        	NUMA node: 1
        	Region 0: Memory at c7300000 (64-bit, non-prefetchable) [size=128K]
        	Bus: primary=00, secondary=3b, subordinate=3d, sec-latency=0
        	Kernel driver in use: pcieport

        3b:00.0 Non-Volatile memory controller [0108]: Example NVMe with CMB [1234:5678]
        	NUMA node: 1
        	Region 0: Memory at c7200000 (64-bit, non-prefetchable) [size=16K]
        	Region 2: I/O ports at e000 [disabled] [size=256]
        	Region 4: Memory at 38fe00000000 (64-bit, prefetchable) [disabled] [size=1G]
        	Expansion ROM at c7100000 [disabled] [size=1M]
        	Capabilities: [160 v1] Single Root I/O Virtualization (SR-IOV)
        		Region 0: Memory at 0000038ffe000000 (64-bit, prefetchable)
        		VF Migration: offset: 00000000, BIR: 0
        	Kernel driver in use: nvme

        3b:00.1 Display controller [0380]: Example [1234:9999]
        	Region 0: [virtual] Memory at 38ff00000000 (64-bit, prefetchable) [size=256M]
        	Region 2: Memory at <unassigned> (32-bit, non-prefetchable) [size=64K]
        	Region 3: Memory at <ignored> (32-bit, non-prefetchable)
        	Region 4: Memory at 000a0000 (low-1M, non-prefetchable) [size=2K]
        	[virtual] Expansion ROM at 000c0000 [disabled] [size=128K]
        """;

    [Fact]
    public void Every_kind_of_region_is_read()
    {
        var host = LspciText.Parse(Server, "server.txt", "h").Single();

        Assert.Equal(
            ["0000:00:01.0", "0000:3b:00.0", "0000:3b:00.1"], host.Devices.Select(device => device.Address.ToString()));
        var nvme = host.Devices[1];
        Assert.Equal("0000:00:01.0", nvme.ParentBridge.ToString());
        Assert.Equal(1, nvme.NumaNode);
        Assert.Equal("nvme", nvme.Driver);
        Assert.Equal("Non-Volatile memory controller [0108]", nvme.Class);
        Assert.Equal<BarDescription>(
            [
                new(0, BarKind.Memory, true, false, 0xc7200000, 16 << 10, BarAssignment.Assigned, false),
                new(2, BarKind.IoPort, false, false, 0xe000, 256, BarAssignment.Assigned, true),
                new(4, BarKind.Memory, true, true, 0x38fe00000000, 1 << 30, BarAssignment.Assigned, true),
                new BarDescription(6, BarKind.Rom, false, false, 0xc7100000, 1 << 20, BarAssignment.Assigned, true),
            ],
            nvme.Bars);
        Assert.Equal(
            [BarAssignment.Assigned, BarAssignment.Unassigned, BarAssignment.Ignored, BarAssignment.Assigned,
                BarAssignment.Assigned],
            host.Devices[2].Bars.Select(bar => bar.Assignment));
    }

    [Fact]
    public void Every_BAR_that_is_left_out_has_its_reason()
    {
        var host = LspciText.Parse(Server, "server.txt", "h").Single();

        var one = ResourceOffer.Of(host.Devices[1], 1);
        Assert.Equal("bar4", one.Published.Single().Name);
        Assert.Equal(
            ["smaller than bar4, and resources: 1 takes no more", "I/O ports, not memory",
                "expansion ROM, not a BAR of memory"],
            one.LeftOut.Select(left => left.Reason));
        Assert.Equal(["bar4", "bar0"], ResourceOffer.Of(host.Devices[1], 2).Published.Select(bar => bar.Name));
        Assert.Equal(
            ["no address assigned", "ignored by the operating system", "smaller than a page (2048 of 4096 bytes)",
                "expansion ROM, not a BAR of memory"],
            ResourceOffer.Of(host.Devices[2], 6).LeftOut.Select(left => left.Reason));
    }

    [Fact]
    public void Blanks_for_tabs_and_a_margin_change_nothing()
    {
        var pasted = string.Join(
            '\n', Server.Split('\n').Select(line => "    " + line.Replace("\t", "        ", StringComparison.Ordinal)));

        Assert.Equal(Describe(LspciText.Parse(Server, "a", "h")), Describe(LspciText.Parse(pasted, "b", "h")));
    }

    [Fact]
    public void A_host_line_begins_another_machine()
    {
        var hosts = LspciText.Parse($"# host left\n{Server}\n# host right\n{Server}\n", "both.txt", "h");

        Assert.Equal(["left", "right"], hosts.Select(host => host.Name));
        Assert.Equal(3, hosts[1].Devices.Length);
    }

    [Theory]
    [InlineData("hello world", "f:1: 'hello world' does not begin with a PCI address")]
    [InlineData("00:01.0 PCI bridge", "f:1: 0000:00:01.0 has no 'CLASS: VENDOR DEVICE'")]
    [InlineData("00:01.0 A: B\n\tRegion 0: Memory at xyz (64-bit) [size=1K]", "f:2: 'Region 0: Memory at xyz")]
    [InlineData("00:01.0 A: B\n\tRegion 9: Memory at 1000 (64-bit) [size=1K]", "f:2: 'Region 9: Memory at 1000")]
    [InlineData("00:01.0 A: B\n\tRegion 0: Memory at 1000 (64-bit) [size=1X]", "f:2: '[size=1X]' is not a size")]
    [InlineData("00:01.0 A: B\n\tRegion 0: Memory at 1000 (64-bit) [size=99999999999999999T]", "is not a size")]
    [InlineData("00:01.0 A: B\n\tRegion 0: Memory at ffffffffffffffff (64-bit) [size=1K]",
        "ends beyond the 64-bit address space")]
    [InlineData("00:01.0 A: B\n\tRegion 0: Memory at 1000 [size=1K]", "f:2: a memory region without its width")]
    [InlineData("00:01.0 A: B\n00:01.0 A: B", "f:2: 0000:00:01.0 is described twice")]
    [InlineData("", "f:1: no PCI device is described")]
    [InlineData("00:01.0 A: B\n\tNUMA node: x", "f:2: 'x' is not a NUMA node")]
    public void A_malformed_line_is_named(string text, string sentence)
    {
        var refusal = Assert.Throws<UsageException>(() => LspciText.Parse(text, "f", "h"));

        Assert.Contains(sentence, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("; accepted: ", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Terminal_escapes_are_taken_out_of_names()
    {
        var host = LspciText.Parse("00:01.0 A\u001b[31m: B\u202e\u0007C\n", "f", "h").Single();

        Assert.Equal("A[31m", host.Devices[0].Class);
        Assert.Equal("BC", host.Devices[0].VendorDevice);
    }

    // Goal: no text, however damaged, does anything but be read or be refused.
    // Method: a real text with pieces cut out, doubled, swapped with others and characters replaced.
    [Fact]
    public void Damaged_text_is_read_or_refused()
    {
        var sample = File.ReadAllText(Samples.Path("lspci-vv.txt"));
        var source = Server + "\n" + sample.Replace("0000:00:01", "0000:40:01", StringComparison.Ordinal);
        var character = Gen.OneOf(Gen.Char["\t\n []()<>=:.,#0123456789abcdefKMGT"], Gen.Char);
        var edit = Gen.Select(Gen.Int[0, source.Length], Gen.Int[0, 40], Gen.String[character, 0, 8]);
        edit.Array[1, 12].Sample(
            edits =>
            {
                var text = edits.Aggregate(source, (current, change) =>
                {
                    var at = Math.Min(change.Item1, current.Length);
                    var end = Math.Min(at + change.Item2, current.Length);
                    return current[..at] + change.Item3 + current[end..];
                });
                try
                {
                    var hosts = LspciText.Parse(text, "damaged", "h");
                    foreach (var device in hosts.SelectMany(host => host.Devices))
                        _ = ResourceOffer.Of(device, 2);
                    _ = FleetPlan.Of(hosts, 2, SectionPlacement.Own, null, "damaged");
                }
                catch (UsageException e)
                {
                    Assert.DoesNotContain('\n', e.Message);
                }
            },
            iter: 3_000);
    }

    private static string Describe(IEnumerable<HostInventory> hosts) => string.Join(
        '\n',
        hosts.SelectMany(host => host.Devices).Select(device =>
            $"{device.Address} {device.Class} {device.VendorDevice} {device.NumaNode} {device.ParentBridge} "
            + $"{device.Driver} {string.Join(' ', device.Bars)}"));
}
