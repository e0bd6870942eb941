using System.Net;
using Fleet.Silo.Options;
using Microsoft.Extensions.Logging;

namespace Fleet.Silo.Tests.Options;

[Trait("tier", "fast")]
public sealed class SiloConfigurationTests : IDisposable
{
    private static readonly string[] Enough = ["--cluster", "a", "--store", "s"];

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("fleet-silo-options-");

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public void Everything_but_cluster_and_store_has_a_default_and_listens_on_loopback()
    {
        var settings = Read(Enough);
        Assert.Equal(new SiloSettings { Cluster = "a", Store = "s" }, settings);
        Assert.Equal(IPAddress.Loopback, settings.Listen);
        Assert.Null(settings.HealthPort);
        Assert.Null(settings.DashboardPort);
        Assert.Null(settings.Otlp);
    }

    [Fact]
    public void Arguments_win_over_the_environment_and_the_environment_over_the_file()
    {
        var file = In("silo.json", """{ "name": "of-file", "silo-port": 11, "gateway-port": "12", "once": true }""");
        var settings = Read(
            [.. Enough, "--config", file, "--name", "of-argument"],
            ("FLEET_NAME", "of-variable"), ("FLEET_SILO_PORT", "21"));
        Assert.Equal("of-argument", settings.Name);
        Assert.Equal(21, settings.SiloPort);
        Assert.Equal(12, settings.GatewayPort);
        Assert.True(settings.IsOnce);
    }

    [Fact]
    public void A_flag_needs_no_value_and_takes_one()
    {
        Assert.True(Read([.. Enough, "--once", "--child", "yes"]).IsOnce);
        Assert.True(Read([.. Enough, "--once", "--child", "yes"]).IsChild);
        Assert.False(Read([.. Enough, "--once=no"]).IsOnce);
    }

    [Fact]
    public void Words_numbers_and_durations_are_taken()
    {
        var settings = Read(
            [
                .. Enough, "--otlp", "http://c:4318", "--otlp-protocol", "grpc", "--log-level", "debug",
                "--log-format", "json", "--stop-patience", "2m", "--trace-share", "0.5",
                "--health-port", "0", "--dashboard-port", "off",
            ]);
        Assert.Equal(OtlpForm.Grpc, settings.OtlpForm);
        Assert.Equal(LogLevel.Debug, settings.LogLevel);
        Assert.Equal(TimeSpan.FromMinutes(2), settings.StopPatience);
        Assert.Equal(0, settings.HealthPort);
    }

    [Theory]
    [InlineData("--cluster is missing; accepted: a name", "--store", "s")]
    [InlineData("--store is missing; accepted: postgres://", "--cluster", "a")]
    [InlineData("--cluster needs a value; accepted: a name", "--cluster")]
    [InlineData("--cluster is \"a.idle\"; accepted: a name", "--cluster", "a.idle")]
    [InlineData("There is no option \"--colour\"; accepted: --config, --cluster", "--colour", "red")]
    [InlineData("--silo-port is \"65536\"; accepted: a port from 1 to 65535", "--silo-port", "65536")]
    [InlineData("--log-level is \"3\"; accepted: trace, debug", "--log-level", "3")]
    [InlineData("--stop-patience is \"10\"; accepted: a duration", "--stop-patience", "10")]
    [InlineData("--tls-cert is \"/none\"; accepted: a file that can be read", "--tls-cert", "/none")]
    [InlineData("--name is given twice", "--name", "a", "--name", "b")]
    [InlineData("--config names /none, which cannot be read", "--config", "/none")]
    public void What_is_wrong_is_said_in_one_sentence(string said, params string[] args)
    {
        var refusal = Assert.Throws<SiloConfigurationException>(() => Read(args));
        Assert.StartsWith(said, refusal.Message, StringComparison.Ordinal);
        Assert.EndsWith(".", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{ \"colour\": 1 }", "has the option \"colour\"; accepted: cluster, store")]
    [InlineData("[]", "holds no object")]
    [InlineData("{", "is no JSON, line 1")]
    [InlineData("{ \"name\": {} }", "name is no value")]
    [InlineData("{ \"silo-port\": -1 }", "accepted: a port")]
    public void What_is_wrong_in_a_file_names_the_file(string text, string said)
    {
        var file = In("wrong.json", text);
        var refusal = Assert.Throws<SiloConfigurationException>(() => Read([.. Enough, "--config", file]));
        Assert.Contains(file, refusal.Message, StringComparison.Ordinal);
        Assert.Contains(said, refusal.Message, StringComparison.Ordinal);
    }

    // Goal: nobody opens a gateway to a network by accident.
    [Fact]
    public void A_listener_that_others_reach_needs_mutual_tls_or_the_word_insecure()
    {
        string[] open = [.. Enough, "--listen", "192.0.2.1"];
        var refusal = Assert.Throws<SiloConfigurationException>(() => Read(open));
        Assert.Contains("accepted: with --tls-cert", refusal.Message, StringComparison.Ordinal);
        Assert.True(Read([.. open, "--insecure"]).IsInsecure);
        Assert.True(Read([.. open, .. Tls()]).HasTls);
    }

    [Fact]
    public void Some_files_of_tls_are_refused()
    {
        var refusal = Assert.Throws<SiloConfigurationException>(() => Read([.. Enough, .. Tls()[..2]]));
        Assert.Contains("accepted: all three, or none", refusal.Message, StringComparison.Ordinal);
        Assert.Throws<SiloConfigurationException>(() => Read([.. Enough, "--tls-peer", "fleet"]));
    }

    [Fact]
    public void Every_address_is_no_address_to_connect_to()
    {
        Assert.Throws<SiloConfigurationException>(() => Read([.. Enough, "--listen", "0.0.0.0", "--insecure"]));
        Assert.Equal(
            IPAddress.Parse("192.0.2.7"),
            Read([.. Enough, "--listen", "0.0.0.0", "--advertise", "192.0.2.7", "--insecure"]).Advertise);
    }

    [Fact]
    public void A_dashboard_that_others_reach_needs_a_password_and_tls()
    {
        string[] open = [.. Enough, "--dashboard-port", "0", "--dashboard-listen", "0.0.0.0"];
        Assert.Throws<SiloConfigurationException>(() => Read(open));
        Assert.Throws<SiloConfigurationException>(() => Read([.. open, .. Tls()]));
        Assert.NotNull(Read([.. open, .. Tls(), "--dashboard-password-file", In("password", "x")]).DashboardPort);
    }

    [Fact]
    public void A_store_that_is_refused_is_not_repeated()
    {
        var refusal = Assert.Throws<SiloConfigurationException>(
            () => Read(["--cluster", "a", "--store", "one", "--store", "postgres://u:secret@h/d"]));
        Assert.DoesNotContain("secret", refusal.Message, StringComparison.Ordinal);
    }

    // Goal: what is documented is what is parsed. FLEET_APPROVE=1 writes the table anew.
    [Fact]
    public void The_table_of_the_documentation_is_the_table_of_the_code()
    {
        const string Begin = "<!-- options -->\n";
        const string End = "<!-- end of options -->";
        var path = RepositoryFolder.In("docs", "silo.md");
        var text = File.ReadAllText(path);
        var (from, to) = (text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length,
            text.IndexOf(End, StringComparison.Ordinal));
        if (Environment.GetEnvironmentVariable("FLEET_APPROVE") == "1")
        {
            File.WriteAllText(path, text = text[..from] + SiloOptionTable.ToMarkdown() + text[to..]);
            to = text.IndexOf(End, StringComparison.Ordinal);
        }

        Assert.Equal(SiloOptionTable.ToMarkdown(), text[from..to]);
    }

    [Fact]
    public void Help_names_every_option_with_its_variable() =>
        Assert.All(
            SiloOptionTable.All,
            option => Assert.Contains($"{option.Argument}  {option.Variable}\n", SiloOptionTable.ToHelp(),
                StringComparison.Ordinal));

    private static SiloSettings Read(string[] args, params (string Name, string Value)[] environment) =>
        SiloConfiguration.Read(
            args, name => environment.Where(one => one.Name == name).Select(one => one.Value).FirstOrDefault());

    private string[] Tls() =>
    [
        "--tls-cert", In("cert.pem", ""), "--tls-key", In("key.pem", ""), "--tls-ca", In("ca.pem", ""),
    ];

    private string In(string name, string text)
    {
        var path = Path.Combine(_directory.FullName, name);
        File.WriteAllText(path, text);
        return path;
    }
}
