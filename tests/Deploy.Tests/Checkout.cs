namespace Fleet.Deploy.Tests;

/// <summary>The files of the repository, from wherever the tests were built.</summary>
internal static class Checkout
{
    public static string Root => RepositoryFolder.Root;

    public static string Deploy { get; } = RepositoryFolder.In("deploy");

    /// <summary>As <c>dotnet publish --configuration</c> wants it: what these tests were built with.</summary>
    public static string Configuration { get; } =
        new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Parent!.Name;

    public static string In(params string[] parts) => RepositoryFolder.In(parts);

    public static string Text(params string[] parts) => File.ReadAllText(In(parts));

    /// <summary>Variables of a file of NAME=VALUE lines.</summary>
    public static Dictionary<string, string> Variables(string path) => File.ReadAllLines(path)
        .Where(line => line.Length > 0 && line[0] != '#')
        .Select(line => line.Split('=', 2))
        .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);
}
