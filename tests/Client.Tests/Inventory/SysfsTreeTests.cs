using Fleet.Client.Inventory;

namespace Fleet.Client.Tests.Inventory;

[Trait("tier", "fast")]
public sealed class SysfsTreeTests : IDisposable
{
    private readonly DirectoryInfo _root = Directory.CreateTempSubdirectory("fleet-sysfs-");

    public void Dispose() => _root.Delete(recursive: true);

    // Goal: the two descriptions of one machine that are in the repository agree.
    [Fact]
    public void The_sample_tree_and_the_sample_text_describe_one_machine()
    {
        var tree = SysfsTree.Read(Samples.Path("sysfs"), "h");
        var text = LspciText.Parse(File.ReadAllText(Samples.Path("lspci-vv.txt")), "text", "h").Single();

        Assert.Equal(text.Devices.Select(device => device.Address), tree.Devices.Select(device => device.Address));
        Assert.Equal(text.Devices.SelectMany(device => device.Bars), tree.Devices.SelectMany(device => device.Bars));
        Assert.Equal(text.Devices.Select(device => device.Driver), tree.Devices.Select(device => device.Driver));
        Assert.Equal(5, tree.Devices.Count(device => !ResourceOffer.Of(device, 1).Published.IsEmpty));
    }

    [Fact]
    public void The_bridge_above_is_the_directory_above()
    {
        Write("devices/pci0000:00/0000:00:01.0", "0x060400", Line(0, 0, 0));
        Write("devices/pci0000:00/0000:00:01.0/0000:3b:00.0", "0x010802", Line(0xc7200000, 0xc7203fff, 0x140204) + Line(
            0xe000, 0xe0ff, 0x40101));
        Link("0000:00:01.0", "../../../devices/pci0000:00/0000:00:01.0");
        Link("0000:3b:00.0", "../../../devices/pci0000:00/0000:00:01.0/0000:3b:00.0");

        var host = SysfsTree.Read(_root.FullName, "h");

        Assert.Equal("0000:00:01.0", host.Devices[1].ParentBridge.ToString());
        Assert.Equal([BarKind.Memory, BarKind.IoPort], host.Devices[1].Bars.Select(bar => bar.Kind));
        Assert.Equal(16384ul, host.Devices[1].Bars[0].SizeBytes);
        Assert.Equal("[0108]", host.Devices[1].Class);
    }

    [Fact]
    public void A_copy_without_links_keeps_the_bridge_by_its_bus_number()
    {
        Write("0000:00:01.0", "0x060400", Line(0, 0, 0));
        File.WriteAllText(Path.Combine(_root.FullName, "0000:00:01.0", "secondary_bus_number"), "59\n");
        Write("0000:3b:00.0", "0x010802", Line(0xc7200000, 0xc7203fff, 0x20140204));

        var device = SysfsTree.Read(_root.FullName, "h").Devices[1];

        Assert.Equal("0000:00:01.0", device.ParentBridge.ToString());
        Assert.Equal("no address assigned", ResourceOffer.Of(device, 1).LeftOut.Single().Reason);
    }

    [Theory]
    [InlineData("0x010802", "0x10 0x20\n", "resource:1: '0x10 0x20' is not a resource")]
    [InlineData("0x010802", "0x20 0x10 0x200\n", "resource:1: '0x20 0x10 0x200' ends before it starts")]
    [InlineData("nvme", "", "class:1: 'nvme' is not an id")]
    public void A_malformed_file_is_named(string classCode, string resource, string sentence)
    {
        Write("0000:3b:00.0", classCode, resource);

        var refusal = Assert.Throws<UsageException>(() => SysfsTree.Read(_root.FullName, "h"));

        Assert.Contains(sentence, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_of_something_else_is_refused() =>
        Assert.Contains(
            "is not a sysfs tree", Assert.Throws<UsageException>(() => SysfsTree.Read(_root.FullName, "h")).Message,
                StringComparison.Ordinal);

    private static string Line(ulong start, ulong end, ulong flags) => $"0x{start:x16} 0x{end:x16} 0x{flags:x16}\n";

    private void Write(string path, string classCode, string resource)
    {
        var directory = Directory.CreateDirectory(Path.Combine(_root.FullName, path)).FullName;
        File.WriteAllText(Path.Combine(directory, "class"), classCode + "\n");
        File.WriteAllText(Path.Combine(directory, "vendor"), "0x1234\n");
        File.WriteAllText(Path.Combine(directory, "device"), "0x5678\n");
        File.WriteAllText(Path.Combine(directory, "resource"), resource);
    }

    private void Link(string name, string target)
    {
        var devices = Directory.CreateDirectory(Path.Combine(_root.FullName, "bus", "pci", "devices")).FullName;
        Directory.CreateSymbolicLink(Path.Combine(devices, name), target);
    }
}
