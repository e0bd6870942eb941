using System.Diagnostics;
using System.Globalization;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests.Spool;

[Trait("tier", "cluster")]
public sealed class KilledWriterTests
{
    // Goal: what a process said it had recorded is there after kill -9, each record once and whole; numbers that it
    // had reserved and not recorded come back as unknown.
    // Method: a real process writes on two threads and reports; it is killed in the middle.
    [Fact]
    public async Task A_process_killed_in_the_middle_of_writing_loses_nothing_that_it_acknowledged()
    {
        using var folder = new Folder();
        var directory = folder.In("spool");
        using var victim = Process.Start(new ProcessStartInfo(
            "dotnet",
            ["exec", typeof(KilledWriterTests).Assembly.Location, directory])
        { RedirectStandardOutput = true })!;
        var acknowledged = new long[2];
        for (var reports = 0; reports < 12; reports++)
        {
            var words = (await victim.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60)))!.Split(' ');
            acknowledged[int.Parse(words[0], CultureInfo.InvariantCulture)] = long.Parse(
                words[1], CultureInfo.InvariantCulture);
        }

        victim.Kill();
        await victim.WaitForExitAsync();

        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(folder.In("results")), default);
        await using var writer = await store.CreateRunAsync(new RunInfo("killed"), new ObjectTable(), default);
        var report = await SpoolDrain.RecoverAsync(directory, writer, default);
        Assert.True(report.IsExact, report.ToString());
        Assert.True(report.OperationsStored >= acknowledged.Sum());
        Assert.InRange(report.OperationsUnknown, 1, 2 * 2 * 256);

        var seen = new Collected();
        await writer.Reader.StreamUnplacedAsync(seen, default);
        await writer.Reader.StreamAsync(seen, default);
        var names = writer.Reader.Objects;
        for (var t = 0; t < 2; t++)
        {
            var done = seen.Operations
                .Where(o => names.Name(o.Client) == $"client:{t}" && o.DoneNs > 0).Select(o => o.DoneNs).ToList();
            Assert.Equal(Enumerable.Range(1, done.Count).Select(i => (long)i), done.Order());
            Assert.True(done.Count >= acknowledged[t]);
            var events = seen.Events.Count(e => e.At.Gen == t + 1);
            Assert.InRange(done.Count - events, 0, 1); // Killed between the two appends, at most.
        }

        Assert.Equal(seen.Operations.Count, seen.Operations.Select(o => o.Number).Distinct().Count());
    }
}
