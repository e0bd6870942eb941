namespace Fleet.LoadTests; internal static class Program { private static void Main() { } }
