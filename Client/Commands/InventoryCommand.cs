using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using Fleet.Client.Inventory;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet inventory</c>: shows what a real machine offers for peer-to-peer memory, and why the rest is left
/// out.</summary>
internal static class InventoryCommand
{
    public static Command Create(Terminal terminal) => new("inventory", "Reads descriptions of real machines.")
    {
        Scan(terminal),
        Import(terminal),
    };

    private static Command Scan(Terminal terminal)
    {
        var root = new Option<string?>("--root")
        {
            Description = "A copied tree instead of this machine's /sys.",
            HelpName = "DIR",
        };
        var (resources, replicate, json) = Options();
        var command = new Command("scan", "Reads /sys/bus/pci/devices of this machine, or of a copied tree.")
        {
            root,
            resources,
            replicate,
            json,
        };
        command.SetAction(parsed =>
        {
            var source = parsed.GetValue(root) ?? SysfsTree.ThisMachine;
            var host = SysfsTree.Read(source, HostInventory.NameOf(1));
            return Show(
                terminal,
                [host],
                source,
                parsed.GetValue(resources) ?? 1,
                parsed.GetValue(replicate) ?? 1,
                parsed.GetValue(json));
        });
        return command;
    }

    private static Command Import(Terminal terminal)
    {
        var file = new Argument<string>("FILE") { Description = "Text of lspci -vv, or a sysfs tree." };
        var (resources, replicate, json) = Options();
        var command = new Command("import", "Reads the text of lspci -vv, or a copied sysfs tree.")
        {
            file,
            resources,
            replicate,
            json,
        };
        command.SetAction(parsed =>
        {
            var source = parsed.GetRequiredValue(file);
            return Show(
                terminal,
                InventoryFile.Read(source),
                source,
                parsed.GetValue(resources) ?? 1,
                parsed.GetValue(replicate) ?? 1,
                parsed.GetValue(json));
        });
        return command;
    }

    private static (Option<int?> Resources, Option<int?> Replicate, Option<bool> Json) Options() => (
        CommonOptions.Whole("--resources", 1, 6, "Resources wanted per device, largest BAR first (default 1)."),
        CommonOptions.Whole(
            "--replicate", 1, HostInventory.HostsMax, "Make this many hosts of the one described (default 1)."),
        CommonOptions.Json());

    private static int Show(
        Terminal terminal, ImmutableArray<HostInventory> hosts, string source, int resources, int replicate,
            bool asJson)
    {
        var fleet = InventoryFile.Replicate(hosts, replicate, source);
        var plan = FleetPlan.Of(fleet, resources, SectionPlacement.Own, null, source);
        var offers = hosts.Select(
            host => (Host: host.Name, Offers: host.Devices.Select(
                device => ResourceOffer.Of(device, resources)).ToList())).ToList();
        if (asJson)
        {
            terminal.WriteJson(ToJson(source, fleet.Length, plan, offers));
            return ExitCode.Valid;
        }

        foreach (var (host, ofHost) in offers)
            terminal.Screen.Write(TableOf(host, ofHost));
        var memory = plan.Devices.SelectMany(device => device.Resources).Sum(resource => (decimal)resource.SizeBytes);
        terminal.Say(
            $"{fleet.Length} host(s), {plan.Devices.Length} device(s) offer {plan.ResourceCount} resource(s), "
            + $"{ByteText(memory)} of peer-to-peer memory.");
        return ExitCode.Valid;
    }

    private static Table TableOf(string host, List<ResourceOffer> offers)
    {
        var table = new Table { Border = TableBorder.Simple, Title = new TableTitle(Terminal.Safe(host)) };
        table.AddColumns("device", "what", "numa", "bridge", "driver", "bar", "kind", "size", "resource");
        foreach (var offer in offers)
        {
            var device = offer.Device;
            string[] head =
            [
                device.Address.ToString(), Terminal.Safe($"{device.Class} {device.VendorDevice}"),
                device.NumaNode?.ToString(CultureInfo.InvariantCulture) ?? "-", device.ParentBridge?.ToString() ?? "-",
                Terminal.Safe(device.Driver ?? "-"),
            ];
            if (device.Bars.IsEmpty)
                table.AddRow([.. head, "-", "-", "-", "no BAR"]);

            foreach (var bar in device.Bars)
            {
                var reason = offer.LeftOut.FirstOrDefault(left => left.Bar == bar)?.Reason;
                table.AddRow(
                    [.. head, bar.Name, KindText(bar), ByteText(
                        bar.SizeBytes), reason is null ? "published" : $"left out: {Terminal.Safe(reason)}"]);
                head = ["", "", "", "", ""];
            }
        }

        return table;
    }

    private static string KindText(BarDescription bar) => bar.Kind switch
    {
        BarKind.IoPort => "I/O ports",
        BarKind.Rom => "expansion ROM",
        _ => $"memory {(bar.Bits64 ? 64 : 32)}-bit{(bar.Prefetchable ? " prefetchable" : "")}"
            + $"{(bar.Disabled ? " disabled" : "")}",
    };

    private static string ByteText(decimal sizeBytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        var unit = 0;
        while (sizeBytes >= 1024 && unit < units.Length - 1)
        {
            sizeBytes /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{sizeBytes:0.##} {units[unit]}");
    }

    private static object ToJson(
        string source, int hostCount, FleetPlan plan, List<(string Host, List<ResourceOffer> Offers)> offers) => new
        {
            source,
            hosts = hostCount,
            devices = plan.Devices.Length,
            resources = plan.ResourceCount,
            described = offers.Select(host => new
            {
                name = host.Host,
                devices = host.Offers.Select(offer => new
                {
                    address = offer.Device.Address.ToString(),
                    @class = offer.Device.Class,
                    vendorDevice = offer.Device.VendorDevice,
                    numaNode = offer.Device.NumaNode,
                    parentBridge = offer.Device.ParentBridge?.ToString(),
                    driver = offer.Device.Driver,
                    bars = offer.Device.Bars.Select(bar => new
                    {
                        name = bar.Name,
                        kind = bar.Kind,
                        bits64 = bar.Bits64,
                        prefetchable = bar.Prefetchable,
                        start = $"0x{bar.StartAddress:x}",
                        sizeBytes = bar.SizeBytes,
                        assignment = bar.Assignment,
                        disabled = bar.Disabled,
                        published = offer.Published.Contains(bar),
                        leftOut = offer.LeftOut.FirstOrDefault(left => left.Bar == bar)?.Reason,
                    }),
                }),
            }),
        };
}
