using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Commands;

[Trait("tier", "fast")]
public sealed class DoctorTests
{
    [Fact]
    public async Task A_machine_is_examined_and_nothing_stays_behind()
    {
        var folder = Directory.CreateTempSubdirectory("fleet-doctor-");
        try
        {
            using var output = new StringWriter();
            using var error = new StringWriter();

            var exit = await FleetCommand.InvokeAsync(
                ["doctor", "--results", folder.FullName, "--json"], new Terminal(output, error, isInteractive: false));

            var report = JsonDocument.Parse(output.ToString()).RootElement;
            Assert.Equal(report.GetProperty("canRun").GetBoolean() ? ExitCode.Valid : ExitCode.Infrastructure, exit);
            Assert.Equal(
                ["runtime", "cores", "memory", "clock", "timer", "files", "ports", "results", "disk", "postgres"],
                report.GetProperty("checks").EnumerateArray().Select(check => check.GetProperty("name").GetString()));
            Assert.Empty(folder.EnumerateFileSystemInfos());
            Assert.Empty(error.ToString());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_result_directory_that_cannot_be_written_is_missing()
    {
        using var output = new StringWriter();

        var exit = await FleetCommand.InvokeAsync(
            ["doctor", "--results", "/proc/none", "--json"], new Terminal(output, output, isInteractive: false));

        var job = JsonDocument.Parse(output.ToString()).RootElement.GetProperty("jobs")[0];
        Assert.Equal(ExitCode.Infrastructure, exit);
        Assert.Contains("result directory", job.GetProperty("because").GetString(), StringComparison.Ordinal);
    }
}
