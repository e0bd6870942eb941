using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Runs;

/// <summary>A command of fleet in a process of its own, which a test may kill; never outlives the test.</summary>
public sealed class FleetProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Task<string> _output;
    private readonly List<string> _said = [];

    private FleetProcess(Process process)
    {
        _process = process;
        _output = process.StandardOutput.ReadToEndAsync();
    }

    public static FleetProcess Start(params string[] args)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        start.ArgumentList.Add(typeof(FleetCommand).Assembly.Location);
        foreach (var arg in args)
            start.ArgumentList.Add(arg);
        return new(Process.Start(start)!);
    }

    public int Pid => _process.Id;

    /// <summary>Reads what it says until a line fits.</summary>
    public async Task<string> AwaitLineAsync(Func<string, bool> fits)
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            _said.Add(line);
            if (fits(line))
                return line;
        }

        throw new InvalidOperationException($"The process ended before: {string.Join('\n', _said.TakeLast(40))}");
    }

    /// <summary>Waits until its load has done so much; for a run with <c>--json</c>.</summary>
    public Task AwaitOperationsAsync(long count) => AwaitLineAsync(line =>
    {
        if (!line.StartsWith('{'))
            return false; // What the runtime says of a busy machine.

        using var json = JsonDocument.Parse(line);
        return json.RootElement.TryGetProperty("operations", out var operations) && operations.GetInt64() >= count;
    });

    /// <summary>Waits for the run's name in what it says to those who may join.</summary>
    public async Task<string> AwaitNameAsync()
    {
        const string before = "--join ";
        var line = await AwaitLineAsync(said => said.Contains(before, StringComparison.Ordinal));
        return line[(line.IndexOf(before, StringComparison.Ordinal) + before.Length)..].Split(' ')[0];
    }

    /// <summary>Waits until a silo says which run it serves.</summary>
    public async Task<string> AwaitRunAsync()
    {
        const string before = "serves run ";
        var line = await AwaitLineAsync(said => said.Contains(before, StringComparison.Ordinal));
        return line[(line.IndexOf(before, StringComparison.Ordinal) + before.Length)..].Split(' ')[0];
    }

    /// <summary>Processes that it started and that run a program.</summary>
    public IReadOnlyList<Process> Children(string program) =>
    [
        .. Directory.EnumerateDirectories("/proc").Select(Path.GetFileName)
            .Where(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            .Where(pid => IsChild($"/proc/{pid}", program))
            .Select(pid => Process.GetProcessById(int.Parse(pid!, CultureInfo.InvariantCulture))),
    ];

    private bool IsChild(string folder, string program)
    {
        try
        {
            return File.ReadLines($"{folder}/status").Contains($"PPid:\t{_process.Id}")
                && File.ReadAllText($"{folder}/cmdline").Contains(program, StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false; // It ended meanwhile.
        }
    }

    /// <summary>Kills it as <c>kill -9</c> does.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>Waits for its end, and reads the JSON object that it printed.</summary>
    public async Task<JsonElement> EndAsync(int exitCode)
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
            _said.Add(line);
        await _process.WaitForExitAsync();
        var output = await _output;
        Assert.True(
            _process.ExitCode == exitCode,
            $"exit {_process.ExitCode}\n{string.Join('\n', _said.TakeLast(40))}\n{output}");
        return JsonDocument.Parse(output).RootElement;
    }

    /// <summary>Waits for its end without a result.</summary>
    /// <returns>What it said last.</returns>
    public async Task<string> EndInWordsAsync(int exitCode)
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
            _said.Add(line);
        await _process.WaitForExitAsync();
        var words = string.Join('\n', _said.TakeLast(40));
        Assert.True(_process.ExitCode == exitCode, $"exit {_process.ExitCode}\n{words}\n{await _output}");
        return words;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            await KillAsync();
        _process.Dispose();
    }
}
