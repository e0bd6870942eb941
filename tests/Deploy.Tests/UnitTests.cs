using System.Globalization;
using System.Text.RegularExpressions;

namespace Fleet.Deploy.Tests;

/// <summary>The systemd units: their form, their hardening, and that every file and option in them exists.</summary>
[Trait("tier", "fast")]
public sealed partial class UnitTests
{
    /// <summary>What systemd calls OK and below, in tenths: 0 is a unit that can do nothing.</summary>
    private const int ExposureMax = 20;

    private static readonly string Folder = Checkout.In("deploy", "systemd");

    private static readonly string[] Hardening =
    [
        "DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "PrivateTmp=yes", "PrivateDevices=yes",
        "ProtectSystem=strict", "ProtectHome=yes", "ProtectKernelTunables=yes", "RestrictNamespaces=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "SystemCallFilter=@system-service", "LockPersonality=yes",
    ];

    public static TheoryData<string> Services => [.. Files("*.service")];

    // The runtime's place differs by machine: it is put where it is here, and nothing else is changed.
    [ValidatorFact("systemd-analyze")]
    public async Task Systemd_itself_takes_the_units()
    {
        var copies = Directory.CreateTempSubdirectory("fleet-units-");
        try
        {
            foreach (var name in Files("*"))
            {
                var text = File.ReadAllText(Path.Combine(Folder, name));
                File.WriteAllText(
                    Path.Combine(copies.FullName, name),
                    text.Replace("/usr/bin/dotnet", Tool.Find("dotnet"), StringComparison.Ordinal));
            }

            var units = Directory.EnumerateFiles(copies.FullName)
                .Where(path => !path.EndsWith(".env", StringComparison.Ordinal));
            var said = await Tool.RunAsync(
                "systemd-analyze", ["verify", "--man=no", .. units], folder: copies.FullName);
            said.MustBeFine();

            // Its remarks about unknown directives do not change its exit code.
            Assert.DoesNotContain(copies.FullName, said.Error, StringComparison.Ordinal);
        }
        finally
        {
            copies.Delete(recursive: true);
        }
    }

    [ValidatorFact("systemd-analyze")]
    public async Task Systemd_finds_the_units_well_confined()
    {
        foreach (var unit in Files("*.service"))
        {
            (await Tool.RunAsync(
                "systemd-analyze",
                [
                    "security", "--offline=true", "--no-pager",
                    $"--threshold={ExposureMax.ToString(CultureInfo.InvariantCulture)}", Path.Combine(Folder, unit),
                ])).MustBeFine();
        }
    }

    [Theory]
    [MemberData(nameof(Services))]
    public void Units_are_hardened(string unit) => Assert.Empty(Hardening.Except(Lines(unit)));

    [Theory]
    [MemberData(nameof(Services))]
    public void Files_of_variables_exist_and_define_what_the_command_uses(string unit)
    {
        var variables = VariablesOf(unit);
        Assert.Empty(Used().Matches(Command(unit)).Select(match => match.Groups[1].Value).Except(variables.Keys));
    }

    [Fact]
    public void The_silo_gets_options_with_values_that_it_takes()
    {
        Assert.Equal("/usr/bin/dotnet /opt/fleet/silo/Fleet.Silo.dll", Command("fleet-silo@.service"));
        foreach (var (name, value) in VariablesOf("fleet-silo@.service").Where(
            one => one.Key.StartsWith("FLEET_", StringComparison.Ordinal)))
        {
            Assert.Null(ProductOptions.Refusal(
                name, value.Replace("%H-%i", "host-1", StringComparison.Ordinal), path => path));
        }
    }

    [Fact]
    public void Silos_of_one_machine_have_ports_of_their_own()
    {
        var ports = Files("silo-*.env")
            .SelectMany(name => Checkout.Variables(Path.Combine(Folder, name)).Values).ToList();
        Assert.Equal(9, ports.Count);
        Assert.Equal(9, ports.Distinct().Count());
    }

    [Theory]
    [InlineData("fleet-generator.service")]
    [InlineData("fleet-prune.service")]
    public void Clients_are_called_with_options_that_they_have(string unit)
    {
        var variables = VariablesOf(unit);
        var words = Used().Replace(Command(unit), match => variables[match.Groups[1].Value]).Split(' ');
        Assert.Equal("/opt/fleet/client/fleet.dll", words[1]);
        Assert.Empty(ProductOptions.Refusals(words.Skip(2)));
    }

    [Fact]
    public void A_silo_gets_longer_to_stop_than_its_own_patience()
    {
        var patience = Checkout.Variables(Path.Combine(Folder, "silo.env"))["FLEET_STOP_PATIENCE"];
        var limit = Lines("fleet-silo@.service")
            .Single(line => line.StartsWith("TimeoutStopSec=", StringComparison.Ordinal));
        Assert.True(Seconds(limit.Split('=')[1]) > Seconds(patience));
    }

    private static double Seconds(string text) => double.Parse(text.TrimEnd('s'), CultureInfo.InvariantCulture);

    private static IEnumerable<string> Files(string pattern) =>
        Directory.EnumerateFiles(Folder, pattern).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal);

    private static string[] Lines(string unit) => File.ReadAllLines(Path.Combine(Folder, unit));

    private static string Command(string unit) =>
        Lines(unit).Single(line => line.StartsWith("ExecStart=", StringComparison.Ordinal))["ExecStart=".Length..];

    /// <summary>What the unit sets itself, and what its files do; one silo's file stands for all.</summary>
    private static Dictionary<string, string> VariablesOf(string unit)
    {
        var credentials = Lines(unit).Where(line => line.StartsWith("LoadCredential=", StringComparison.Ordinal))
            .Select(line => line["LoadCredential=".Length..].Split(':')[0]).ToHashSet(StringComparer.Ordinal);
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in Lines(unit))
        {
            if (line.StartsWith("EnvironmentFile=", StringComparison.Ordinal))
            {
                var name = Path.GetFileName(line["EnvironmentFile=".Length..])
                    .Replace("%i", "1", StringComparison.Ordinal);
                foreach (var (key, value) in Checkout.Variables(Path.Combine(Folder, name)))
                {
                    variables[key] = value;
                }
            }
            else if (line.StartsWith("Environment=", StringComparison.Ordinal))
            {
                foreach (var pair in line["Environment=".Length..].Split(' ').Select(word => word.Split('=', 2)))
                {
                    if (pair[1].StartsWith("%d/", StringComparison.Ordinal))
                    {
                        Assert.Contains(pair[1][3..], credentials);
                        variables[pair[0]] = Checkout.In("Fleet.sln");
                    }
                    else
                    {
                        variables[pair[0]] = pair[1];
                    }
                }
            }
        }

        return variables;
    }

    [GeneratedRegex(@"\$\{(\w+)\}")]
    private static partial Regex Used();
}
