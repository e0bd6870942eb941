using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Commands;

[Trait("tier", "fast")]
public sealed class CommandLineTests
{
    [Theory]
    [InlineData("", "fleet: 'fleet' needs a command; accepted: ")]
    [InlineData("frobnicate", "fleet: 'frobnicate' is not known to 'fleet'; accepted: ")]
    [InlineData("inventory", "fleet: 'fleet inventory' needs a command; accepted: scan, import.")]
    [InlineData("inventory scan --rot x", "fleet: '--rot' is not known to 'fleet inventory scan'; accepted: ")]
    [InlineData("run --profle P0", "fleet: '--profle' is not known to 'fleet run'; accepted: ")]
    [InlineData("show --jsn", "fleet: '--jsn' is not known to 'fleet show'; accepted: ")]
    [InlineData("inventory scan --replicate none", "fleet: --replicate is 'none'; accepted: a whole number from 1 to")]
    [InlineData("inventory import /nowhere", "fleet: There is no inventory '/nowhere'; accepted: ")]
    [InlineData("vectors /nowhere", "fleet: '/nowhere' is not a directory; accepted: ")]
    [InlineData("profile diff P0 P9", "fleet: There is no profile 'P9'; accepted: P0, ")]
    [InlineData("scenario lint nowhere", "fleet: There is no scenario 'nowhere'; accepted: ")]
    [InlineData("report last --out", "fleet: --html needs a value; accepted: --html FILE, where FILE says: ")]
    [InlineData("run --clients", "fleet: --clients needs a value; accepted: --clients N, where N says: ")]
    [InlineData("findings --store", "fleet: --store needs a value; accepted: --store ")]
    [InlineData("resume", "fleet: 'fleet resume' needs RUN; accepted: 'fleet resume RUN', where that says: ")]
    [InlineData("scenario lint smoke --set load.clients", "fleet: --set 'load.clients' names no value; accepted: ")]
    public async Task A_bad_command_line_is_one_sentence(string line, string sentence)
    {
        var (exit, output, error) = await RunAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Empty(output);
        Assert.StartsWith(sentence, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(character => character == '\n'));
    }

    [Fact]
    public async Task A_scan_of_the_sample_tree_prints_what_is_offered()
    {
        var (exit, output, error) = await RunAsync(
            "inventory", "scan", "--root", Samples.Path("sysfs"), "--replicate", "4");

        Assert.Equal(ExitCode.Valid, exit);
        Assert.Empty(error);
        Assert.Contains("no BAR", output, StringComparison.Ordinal);
        Assert.EndsWith(
            "4 host(s), 20 device(s) offer 20 resource(s), 10 MiB of peer-to-peer memory.", output.TrimEnd(),
                StringComparison.Ordinal);
    }

    // Goal: who is to blame decides the exit code, and the sentence says who.
    [Theory]
    [InlineData("use-after-remove", ExitCode.Invalid, "(safety)", "A rule is broken")]
    [InlineData("stuck-unbind", ExitCode.Invalid, "(liveness)", "still waiting for ref:h1/0000:01:00.0/bar0")]
    [InlineData(
        "stuck-behind-a-later-step", ExitCode.Invalid, "(liveness)",
        "counts the pages of the mapping at 0x400000000, which only a later step of the same unbind gives back")]
    [InlineData("leak", ExitCode.Invalid, "(leak)", "Something was never given back")]
    [InlineData("two-incarnations", ExitCode.Infrastructure, "(infrastructure)", "Two incarnations served at once")]
    [InlineData("client-misuse", ExitCode.Unknown, "(client)", "A client used what it had given back")]
    [InlineData("waits-for-holder", ExitCode.Valid, "valid", "exit 0")]
    public async Task A_history_is_attributed_to_who_is_to_blame(string file, int code, string @class, string sentence)
    {
        var (exit, output, error) = await RunAsync(
            "check", "--history", Path.Combine(AppContext.BaseDirectory, "histories", file + ".jsonl"));

        Assert.Empty(error);
        Assert.Equal(code, exit);
        Assert.Contains(@class, output, StringComparison.Ordinal);
        Assert.Contains(sentence, output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"ev\":\"unbind_begin\"", 64)]
    [InlineData("{\"ev\":\"frobnicate\",\"obj\":\"dev:a/1\",\"gen\":1,\"seq\":1}\n{}", 64)]
    [InlineData("\u0000\u001b[31m\n{}", 64)]
    public async Task A_malformed_line_is_named_by_its_number(string line, int code)
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, "{\"format\":\"fleet-history\",\"version\":1}\n" + line + "\n");
            var (exit, output, error) = await RunAsync("check", "--history", file);

            Assert.Equal(code, exit);
            Assert.Empty(output);
            Assert.Contains(":2: ", error, StringComparison.Ordinal);
            Assert.DoesNotContain(error, letter => char.IsControl(letter) && letter is not '\n' and not '\r');
        }
        finally
        {
            File.Delete(file);
        }
    }

    // Fleet itself is wrong where its two checkers decide differently, whatever the rules found.
    [Fact]
    public void Two_checkers_that_disagree_are_a_defect_of_Fleet()
    {
        var report = new Fleet.Checking.CheckReport(
            Fleet.Kernel.History.RunVerdict.Invalid, [], [], new Dictionary<string, long>(), [], 0, true);

        Assert.Equal(ExitCode.Harness, new Fleet.Client.Runs.StoredVerdict(report, [], ["they differ"]).ExitCode);
        Assert.Equal(ExitCode.Invalid, new Fleet.Client.Runs.StoredVerdict(report, [], []).ExitCode);
    }

    [Theory]
    [InlineData("inventory import SAMPLE --json", "devices")]
    [InlineData("profile list --json", "profiles")]
    [InlineData("profile diff v5.1 v5.2 --json", "differences")]
    [InlineData("scenario list --json", "scenarios")]
    [InlineData("scenario show smoke --json", "text")]
    [InlineData("scenario lint smoke alloc-fail --json", "files")]
    public async Task Json_is_one_object_and_nothing_else(string line, string property)
    {
        var (exit, output, error) = await RunAsync(
            line.Replace("SAMPLE", Samples.Path("lspci-vv.txt"), StringComparison.Ordinal).Split(' '));

        Assert.Equal(ExitCode.Valid, exit);
        Assert.Empty(error);
        Assert.True(JsonDocument.Parse(output).RootElement.TryGetProperty(property, out _));
    }

    private static async Task<(int Exit, string Output, string Error)> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(args, new Terminal(output, error, isInteractive: false));
        return (exit, output.ToString(), error.ToString());
    }
}
